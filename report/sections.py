"""Charts and tables of the report, from its inputs."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from report.charts import Axis, Series, bars, lines, number
from report.inputs import Inputs
from trainer.evaluation.metrics import ACTIVITY

_POINTS = 160  # per curve


def data_charts(inputs: Inputs) -> dict[str, str | None]:
    """Return the charts of the dataset by caption; a chart is None if the dataset has no times."""
    return {
        "Interactions per day": by_day(inputs),
        "Ratings": ratings(inputs),
        "Visitors per item, by its rank": long_tail(inputs),
        "Share of the most popular items": concentration(inputs),
        "Visitors by number of items": activity(inputs),
    }


def by_day(inputs: Inputs) -> str | None:
    """Return a chart of the interactions per day, None if the dataset has no times."""
    days = inputs.statistics["interactions_by_day"]
    names = sorted(days)
    if not names:
        return None
    values = [days[name] for name in names]
    tips = [f"{name}: {value:,} interactions" for name, value in zip(names, values, strict=True)]
    return bars([name[5:] for name in names], values, "Interactions per day", "interactions", tips)


def ratings(inputs: Inputs) -> str:
    """Return a histogram of the ratings."""
    edges, counts = (inputs.statistics["ratings"][name] for name in ("edges", "counts"))
    tips = [f"{low:.3g} to {high:.3g}: {n:,}" for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)]
    return bars([number(edge) for edge in edges[:-1]], counts, "Ratings", "interactions", tips, "rating")


def long_tail(inputs: Inputs) -> str:
    """Return a chart of the visitors per item by the item's rank, on logarithmic axes."""
    counts = np.sort(inputs.rows.users_per_item)[::-1]
    counts = counts[counts > 0]
    ranks = np.unique(np.geomspace(1, max(len(counts), 1), _POINTS).round().astype(np.int64))
    values = counts[ranks - 1]
    tips = [f"rank {rank:,}: {value:,} visitors" for rank, value in zip(ranks, values, strict=True)]
    x = Axis(1, max(len(counts), 2), "rank of the item", log=True)
    y = Axis(1, max(int(counts[0]), 2), "visitors", log=True)
    return lines([Series("items", ranks.tolist(), values.tolist(), tips=tips)], "Popularity by rank", x, y)


def concentration(inputs: Inputs) -> str:
    """Return a chart of the share of interactions against the share of items, most popular items first."""
    counts = np.sort(inputs.rows.users_per_item)[::-1]
    cumulative = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    ranks = np.unique(np.linspace(0, len(counts), min(_POINTS, len(counts) + 1)).astype(int))
    x, y = ranks / len(counts), cumulative[ranks]
    tips = [f"the first {a:.0%} of the items have {b:.0%} of the interactions" for a, b in zip(x, y, strict=True)]
    items = Series("items, most popular first", x.tolist(), y.tolist(), tips=tips)
    equal = Series("if all were equal", [0, 1], [0, 1], tips=["", ""])
    axes = Axis(0, 1, "share of the items"), Axis(0, 1, "share of the interactions")
    return lines([items, equal], "Concentration", *axes, dots=False)


def activity(inputs: Inputs) -> str:
    """Return a chart of the visitors by their number of items."""
    edges = [1, *(most + 1 for most in ACTIVITY.values() if most), np.inf]
    values = np.histogram(inputs.rows.items_per_user, edges)[0].tolist()
    tips = [f"{label} items: {value:,} visitors" for label, value in zip(ACTIVITY, values, strict=True)]
    return bars(list(ACTIVITY), values, "Visitors by activity", "visitors", tips, "items per visitor")


def training(inputs: Inputs) -> dict[str, str]:
    """Return charts of loss, RWSE and seconds per sweep."""
    sweeps = [record.sweep for record in inputs.model.history]
    charts = {}
    for label, name in (("loss", "loss"), ("RWSE", "rwse")):
        values = [getattr(record, name) for record in inputs.model.history]
        tips = [f"sweep {sweep}: {label} {value:.6g}" for sweep, value in zip(sweeps, values, strict=True)]
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or abs(high) or 1.0
        axes = Axis(1, max(*sweeps, 2), "sweep"), Axis(low - margin, high + margin, label)
        charts[label] = lines([Series(label, sweeps, values, tips=tips)], label, *axes)
    seconds = [record.seconds for record in inputs.model.history]
    sides = ["users" if sweep % 2 else "items" for sweep in sweeps]
    tips = [f"sweep {n} ({side}): {value:.3f} s" for n, side, value in zip(sweeps, sides, seconds, strict=True)]
    charts["seconds"] = bars([str(sweep) for sweep in sweeps], seconds, "Seconds", "seconds", tips, "sweep")
    return charts


def facts(inputs: Inputs) -> list[tuple[str, str]]:
    """Return the figures at the top of the page, each with its label."""
    counts, days = inputs.dataset.counts, inputs.dataset.days
    density = counts.interactions / max(counts.users * counts.items, 1)
    facts = [
        (f"{counts.users:,}", "visitors"),
        (f"{counts.items:,}", "items"),
        (f"{counts.interactions:,}", "interactions"),
        (f"{density:.2%}", "of all pairs"),
    ]
    if days.first and days.last:
        first, last = map(datetime.date.fromisoformat, (days.first, days.last))
        facts.append((f"{(last - first).days + 1:,} days", f"{first} to {last}"))
    return [*facts, (str(inputs.model.embedding_dimension), "factors"), (f"{inputs.model.seconds:.1f} s", "training")]


def rejects(inputs: Inputs) -> list[tuple[str, str, int]]:
    """Return fate, reason and number of the rows that are not in the dataset."""
    return [
        (fate, reason.replace(".", ": ", 1).replace("_", " "), count)
        for fate, reasons in (("rejected", inputs.dataset.rejected), ("skipped", inputs.dataset.skipped))
        for reason, count in reasons.items()
    ]


def settings(inputs: Inputs) -> list[tuple[str, str]]:
    """Return all settings of the dataset and the model by dotted key; unset ones are omitted."""
    tree = inputs.dataset.settings.model_dump(mode="json") | {
        "training": inputs.model.settings.model_dump(mode="json"),
        "cold_start": inputs.model.cold_start.model_dump(mode="json"),
    }
    return list(_leaves(tree, ""))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        elif value not in (None, {}):
            yield f"{prefix}{name}", str(value)


def categories(names: Sequence[str], users: np.ndarray, most: int) -> list[str]:
    """Return the `most` categories with most interactions, in that order."""
    totals: Counter[str] = Counter()
    for name, count in zip(names, users.tolist(), strict=True):
        totals[name] += count
    del totals[""]
    return sorted(totals, key=lambda name: (-totals[name], name))[:most]
