"""Values with intervals of an evaluation's JSON, and the rows and tables that the page makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from artifacts.manifests.outcome import Estimate
from report.charts import Interval

VALUE, CHANGE = "%.4f", "%+.4f"

Systems = Mapping[str, Mapping[str, Any]]


class Row(NamedTuple):
    """A metric, its value for each system, and the best of the values unless there is one system only.

    same_as: other metrics that have the same values everywhere, such as the hit rate if one item is held out.
    """

    metric: str
    cells: Sequence[Interval | None]
    best: float | None = None
    same_as: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table with a title, the names of its columns and the form of each, such as `VALUE`."""

    title: str
    first: str  # name of the first column
    names: list[str]
    forms: list[str]
    rows: list[Row]


def interval(cell: Mapping[str, float]) -> Interval:
    """Return value and interval of a cell; without an interval, its limits are the value."""
    value = float(cell["value"])
    return Interval(value, float(cell.get("low", value)), float(cell.get("high", value)))


def of_estimate(estimate: Estimate | None) -> Interval | None:
    """Return value and interval of an outcome's figure, None if it has no value; see `interval`."""
    if estimate is None or estimate.value is None:
        return None
    low, high = (estimate.value if limit is None else limit for limit in (estimate.low, estimate.high))
    return Interval(estimate.value, low, high)


def row(metric: str, systems: Systems) -> Row:
    """Return the values of a metric for each system."""
    cells = [interval(values[metric]) if values.get(metric) else None for values in systems.values()]
    values = [cell.value for cell in cells if cell]
    best = min(values) if metric.lower().startswith(("rmse", "gini", "ils")) else max(values)
    return Row(metric, cells, best if len(values) > 1 else None)


def merged(rows: Sequence[Row]) -> list[Row]:
    """Return one row for metrics at one K that are equal in every cell, as they are if one item is held out of each."""
    merged: dict[Any, Row] = {}
    for each in rows:
        key = (each.metric.partition("@")[2], tuple(each.cells))
        first = merged.setdefault(key, each)
        if first is not each:
            merged[key] = first._replace(same_as=(*first.same_as, each.metric))
    return list(merged.values())


def greatest(metrics: Sequence[str]) -> list[str]:
    """Return the metrics at the greatest K."""
    most = max(int(name.partition("@")[2]) for name in metrics)
    return [name for name in metrics if name.endswith(f"@{most}")]
