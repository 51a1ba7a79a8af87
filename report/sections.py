"""The page's charts and tables, made of the inputs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from report.charts import Axis, Series, bars, lines, number
from report.inputs import Inputs

_ACTIVITY = (("1", 1, 1), ("2-5", 2, 5), ("6-20", 6, 20), ("21+", 21, None))
_POINTS = 160  # of a curve


def by_day(found: Inputs) -> str | None:
    """Interactions a day; None where the dataset has no times."""
    days = found.statistics.get("interactions_by_day") or {}
    names = sorted(days)
    if not names:
        return None
    values = [days[name] for name in names]
    tips = [f"{name}: {value:,} interactions" for name, value in zip(names, values, strict=True)]
    return bars([name[5:] for name in names], values, "Interactions a day", "interactions", tips)


def ratings(found: Inputs) -> str:
    """A histogram."""
    edges, counts = found.ratings
    if found.statistics.get("ratings"):
        edges, counts = (np.asarray(found.statistics["ratings"][name]) for name in ("edges", "counts"))
    tips = [f"{a:.3g} to {b:.3g}: {n:,}" for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]
    return bars([number(edge) for edge in edges[:-1]], counts.tolist(), "Ratings", "interactions", tips, "rating")


def long_tail(found: Inputs) -> str:
    """Visitors of each item, by its rank, on logarithmic axes."""
    counts = np.sort(found.users_per_item)[::-1]
    counts = counts[counts > 0]
    ranks = _spread(len(counts))
    values = counts[ranks - 1]
    tips = [f"rank {rank:,}: {value:,} visitors" for rank, value in zip(ranks, values, strict=True)]
    x = Axis(1, max(len(counts), 2), "rank of the item", log=True)
    y = Axis(1, max(int(counts[0]), 2), "visitors", log=True)
    return lines([Series("items", ranks.tolist(), values.tolist(), tips=tips)], "Popularity by rank", x, y)


def concentration(found: Inputs) -> str:
    """The share of all interactions that the most popular share of the items has, beside the equal one."""
    counts = np.sort(found.users_per_item)[::-1]
    shares = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    places = np.unique(np.linspace(0, len(counts), min(_POINTS, len(counts) + 1)).astype(int))
    x, y = places / len(counts), shares[places]
    tips = [f"the first {a:.0%} of the items have {b:.0%} of the interactions" for a, b in zip(x, y, strict=True)]
    own = Series("items, most popular first", x.tolist(), y.tolist(), tips=tips)
    equal = Series("if all were equal", [0, 1], [0, 1], tips=["", ""])
    return lines([own, equal], "Concentration", Axis(0, 1, "share of the items"), Axis(0, 1, "of interactions"), False)


def activity(found: Inputs) -> str:
    """Visitors by the number of their items."""
    counts, labels, values = found.items_per_user, [], []
    for label, low, high in _ACTIVITY:
        labels.append(label)
        values.append(int(((counts >= low) & (counts <= (high or counts.max()))).sum()))
    tips = [f"{label} items: {value:,} visitors" for label, value in zip(labels, values, strict=True)]
    return bars(labels, values, "Visitors by activity", "visitors", tips, "items of a visitor")


def training(found: Inputs) -> dict[str, str]:
    """Loss, RWSE and seconds by sweep."""
    history = found.model["history"]
    sweeps = [sweep["sweep"] for sweep in history]
    charts = {}
    for name, label in (("loss", "loss"), ("rwse", "RWSE")):
        values = [sweep[name] for sweep in history]
        tips = [f"sweep {number}: {label} {value:.6g}" for number, value in zip(sweeps, values, strict=True)]
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or abs(high) or 1.0
        axes = Axis(1, max(*sweeps, 2), "sweep"), Axis(low - margin, high + margin, label)
        charts[label] = lines([Series(label, sweeps, values, tips=tips)], label, *axes)
    seconds = [sweep["seconds"] for sweep in history]
    tips = [
        f"sweep {number} ({'users' if number % 2 else 'items'}): {value:.3f} s"
        for number, value in zip(sweeps, seconds, strict=True)
    ]
    charts["seconds"] = bars([str(number) for number in sweeps], seconds, "Seconds", "seconds", tips, "sweep")
    return charts


def facts(found: Inputs) -> list[tuple[str, str]]:
    """The figures at the head of the page."""
    counts = found.dataset["counts"]
    cells = counts["users"] * counts["items"]
    days = found.dataset.get("days") or {}
    facts = [(f"{counts[name]:,}", label) for name, label in (("users", "visitors"), ("items", "items"))]
    facts += [(f"{counts['interactions']:,}", "interactions")]
    facts += [(f"{counts['interactions'] / max(cells, 1):.2%}", "of all pairs")]
    if days.get("first"):
        first, last = (datetime.datetime.strptime(days[name], "%Y%m%d").date() for name in ("first", "last"))
        facts.append((f"{(last - first).days + 1:,} days", f"{first} to {last}"))
    facts += [(str(found.model["embedding_dimension"]), "factors"), (f"{found.model['seconds']:.1f} s", "training")]
    return facts


def rejects(found: Inputs) -> list[tuple[str, str, int]]:
    """Fate, reason and number of the rows that are not in the dataset."""
    return [
        (fate, reason.replace(".", ": ", 1).replace("_", " "), count)
        for fate in ("rejected", "skipped")
        for reason, count in (found.dataset.get(fate) or {}).items()
    ]


def settings(found: Inputs) -> list[tuple[str, str]]:
    """All settings that made the dataset and the model, by dotted key."""
    tree = dict(found.dataset.get("settings") or {}) | {"training": found.model["settings"]}
    if "cold_start" in found.model:
        tree["cold_start"] = found.model["cold_start"]
    return list(_leaves(tree, ""))


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        elif value not in (None, {}):
            yield f"{prefix}{name}", str(value)


def _spread(count: int) -> np.ndarray:
    """Ranks 1..count, evenly on a logarithmic axis: int64."""
    return np.unique(np.geomspace(1, max(count, 1), _POINTS).round().astype(np.int64))


def categories(names: Sequence[str], users: np.ndarray, most: int) -> list[str]:
    """The categories with most interactions, in that order; the others are one colour."""
    totals: dict[str, int] = {}
    for name, count in zip(names, users.tolist(), strict=True):
        if name:
            totals[name] = totals.get(name, 0) + count
    return sorted(totals, key=lambda name: (-totals[name], name))[:most]
