"""Charts and tables of the report, from its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from artifacts.manifests import SweepRecord
from configs.settings import Settings
from report import amounts
from report.charts import Axis, Series, bars, lines
from report.inputs import Inputs
from trainer.evaluation.metrics import ACTIVITY

_POINTS = 160  # per curve


def data_charts(inputs: Inputs) -> dict[str, str | None]:
    """Return the charts of the dataset by caption; a chart is None if the dataset has no times."""
    return {
        "Interactions per day": by_day(inputs),
        f"{amounts.kind_of(inputs.dataset)[0]} of an interaction, and its rating": amounts.chart(
            inputs.amounts, inputs.dataset
        ),
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
    """Return charts of loss, held-out metric or RWSE, and seconds per sweep, by caption."""
    history = inputs.model.history
    charts = {"Loss by sweep": _by_sweep(history, "loss", [record.loss for record in history])}
    if held_out := inputs.model.held_out:
        passes = range(1, len(held_out.passes) + 1)
        chart = _over(passes, "pass", held_out.metric, held_out.passes)
        charts[f"{held_out.metric} of what is held out, by pass"] = chart
    else:
        charts["RWSE by sweep"] = _by_sweep(history, "RWSE", [record.rwse for record in history])
    # The first two sweeps, one of each side, compile what the others only run.
    later = history[2:] or history
    sides = ["users" if record.sweep % 2 else "items" for record in later]
    tips = [f"sweep {each.sweep} ({side}): {each.seconds:.3f} s" for each, side in zip(later, sides, strict=True)]
    compiled = sum(record.seconds for record in history[:2])
    first = f", after the first two, which also compile and took {compiled:.1f} s" if history[2:] else ""
    names, seconds = [str(record.sweep) for record in later], [record.seconds for record in later]
    charts[f"Seconds by sweep{first}"] = bars(names, seconds, "Seconds", "seconds", tips, "sweep")
    return charts


def _by_sweep(history: Sequence[SweepRecord], label: str, values: Sequence[float]) -> str:
    return _over([record.sweep for record in history], "sweep", label, values)


def _over(steps: Sequence[int], step: str, label: str, values: Sequence[float]) -> str:
    tips = [f"{step} {number}: {label} {value:.6g}" for number, value in zip(steps, values, strict=True)]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or abs(high) or 1.0
    axes = Axis(1, max(*steps, 2), step), Axis(low - margin, high + margin, label)
    return lines([Series(label, list(steps), list(values), tips=tips)], label, *axes)


def settings(inputs: Inputs) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the settings of the dataset and the model by dotted key, those that differ from the defaults first.

    Unset ones are omitted.
    """
    tree = inputs.dataset.settings.model_dump(mode="json") | {
        "training": inputs.model.settings.model_dump(mode="json"),
        "cold_start": inputs.model.cold_start.model_dump(mode="json"),
    }
    defaults = dict(_leaves(Settings().model_dump(mode="json"), ""))
    leaves = list(_leaves(tree, ""))
    changed = [(name, value) for name, value in leaves if defaults.get(name) != value]
    return changed, [leaf for leaf in leaves if leaf not in changed]


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        elif value not in (None, {}):
            yield f"{prefix}{name}", str(value)


def categories(names: Sequence[str], users: np.ndarray) -> list[str]:
    """Return the categories, those with most interactions first."""
    totals: Counter[str] = Counter()
    for name, count in zip(names, users.tolist(), strict=True):
        totals[name] += count
    del totals[""]
    return sorted(totals, key=lambda name: (-totals[name], name))
