"""The quality section: tables and charts from the JSON of trainer.evaluate (docs/evaluation.md).

It reads `systems` and, if present, `by_activity`, `differences`, `verdicts`, `against` and `gate`:

    {"kind": "evaluation", "users": 900, "model": {"digest": ...},
     "systems": {"WALS": {"recall@20": {"value": 0.2, "low": 0.19, "high": 0.21}, ...}, "popularity": {...}},
     "by_activity": {"WALS": {"2-5": {"recall@20": {...}}}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from configs.errors import UserError
from report.charts import Axis, Interval, Series, grouped, lines
from trainer.evaluation.metrics import ACTIVITY

Systems = Mapping[str, Mapping[str, Any]]


class Row(NamedTuple):
    """A metric, its value for each system, and the best of the values unless there is one system only.

    same_as: other metrics that have the same values everywhere, such as the hit rate if one item is held out.
    """

    metric: str
    cells: list[Interval | None]
    best: float | None = None
    same_as: tuple[str, ...] = ()


class Group(NamedTuple):
    """A group of visitors or of held-out items: its name, its visitors, and a metric for each system.

    notes: "better" or "worse" for each other system, where the paired interval of ours minus its is above or below 0.
    """

    name: str
    users: int
    cells: list[Interval | None]
    notes: list[str]


def describe(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables and charts of an evaluation by name; raise UserError if it lacks a required part."""
    try:
        systems, others = evaluation["systems"], evaluation.get("differences", {})
        metrics = list(dict.fromkeys(name for values in systems.values() for name in values))
        shown = _shown(metrics)
        charts = {name: _against_k(name, systems, metrics) for name in ("recall", "ndcg")}
        return {
            "users": int(evaluation["users"]),
            "confidence": f"{100 * evaluation.get('settings', {}).get('confidence', 0.95):g} %",
            "systems": list(systems),
            "rows": _merged([_row(metric, systems) for metric in shown]),
            "others": list(others),
            "differences": _merged(  # of the first system to each of the others, paired by visitor
                [
                    Row(metric, [_interval(values[metric]) for values in others.values()])
                    for metric in shown
                    if others and all(metric in values for values in others.values())
                ]
            ),
            "verdicts": _verdicts(evaluation),
            "notes": _notes(evaluation),
            "against_k": {name: chart for name, chart in charts.items() if chart},
            "by_activity": _by_activity(evaluation.get("by_activity") or {}, metrics),
            "group_metric": _group_metric(metrics),
            "groups": _groups(evaluation, _group_metric(metrics)),
            "new_items": _new_items(evaluation.get("new_items")),
            "new_systems": list(evaluation.get("new_items", {}).get("among_new", {})),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"the evaluation lacks {error}; rerun wals evaluate") from error


def _verdicts(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return sentences on each comparison, with their CSS classes."""
    classes = {"ahead": "good", "behind": "bad"}
    verdicts = evaluation.get("verdicts", [])
    lines = []
    for verdict in verdicts:
        lines.append((f"{_upper(verdict['summary'])}.", classes.get(verdict["verdict"], "open")))
        lines += [(f"Weak spot: {spot}.", "bad") for spot in verdict.get("weak_spots", [])]
    if note := evaluation.get("by_chance"):
        lines.append((f"{_upper(note)}.", "open"))
    return lines


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _notes(evaluation: Mapping[str, Any]) -> list[str]:
    """Return sentences on the overlap with another model, and on the gate."""
    notes = []
    if against := evaluation.get("against"):
        cells = against["overlap"].items()
        shares = ", ".join(f"{_interval(cell).value:.0%} at {name.partition('@')[2]}" for name, cell in cells)
        notes.append(f"Share of a visitor's list that is also in the list of {against['system']}: {shares}.")
    for rule in evaluation.get("gate", {}).get("rules", []):
        notes.append(f"Gate {'passed' if rule['passed'] else 'failed'}: {rule['summary']}.")
    return notes


def _shown(metrics: Sequence[str]) -> list[str]:
    """Return all metrics at the greatest K, then recall and NDCG at the other K in descending order."""
    ks = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name}, reverse=True)
    first = [name for name in metrics if "@" not in name or name.endswith(f"@{ks[0]}")]
    return first + [name for k in ks[1:] for name in (f"recall@{k}", f"ndcg@{k}") if name in metrics]


def _interval(cell: Mapping[str, float]) -> Interval:
    value = float(cell["value"])
    return Interval(value, float(cell.get("low", value)), float(cell.get("high", value)))


def _row(metric: str, systems: Systems) -> Row:
    cells = [_interval(values[metric]) if values.get(metric) else None for values in systems.values()]
    values = [cell.value for cell in cells if cell]
    best = min(values) if metric.lower().startswith(("rmse", "gini")) else max(values)
    return Row(metric, cells, best if len(values) > 1 else None)


def _merged(rows: Sequence[Row]) -> list[Row]:
    """Return one row for metrics at one K that are equal in every cell, as they are if one item is held out of each."""
    merged: dict[Any, Row] = {}
    for row in rows:
        key = (row.metric.partition("@")[2], tuple(row.cells))
        first = merged.setdefault(key, row)
        if first is not row:
            merged[key] = first._replace(same_as=(*first.same_as, row.metric))
    return list(merged.values())


def _groups(evaluation: Mapping[str, Any], metric: str) -> list[Group]:
    """Return the groups of visitors and of held-out items, in the order of the evaluation."""
    by_system, differences = evaluation.get("by_segment", {}), evaluation.get("differences_by_segment", {})
    groups = []
    for name, users in evaluation.get("segments", {}).items():
        cells, paired = (
            [_interval(values[name][metric]) if metric in values.get(name, {}) else None for values in systems.values()]
            for systems in (by_system, differences)
        )
        notes = ["better" if cell and cell.low > 0 else "worse" if cell and cell.high < 0 else "" for cell in paired]
        groups.append(Group(name, users, cells, ["", *notes]))
    return groups


def _new_items(measured: Mapping[str, Any] | None) -> list[Row]:
    """Return recall and NDCG among hidden items at the greatest K, by system; empty if they were not measured."""
    if not measured:
        return []
    systems = measured["among_new"]
    metrics = list(dict.fromkeys(name for values in systems.values() for name in values))
    greatest = max(int(name.partition("@")[2]) for name in metrics)
    return [_row(name, systems) for name in metrics if name.endswith(f"@{greatest}")]


def _group_metric(metrics: Sequence[str]) -> str:
    """Return recall at the greatest K, which groups are compared by."""
    recalls = [name for name in metrics if name.startswith("recall@")] or list(metrics)
    return max(recalls, key=lambda name: int(name.partition("@")[2] or 0))


def _against_k(metric: str, systems: Systems, metrics: Sequence[str]) -> str | None:
    """Return a chart of a metric by K with intervals, None if there are fewer than two K."""
    ks = sorted(int(match[1]) for name in metrics if (match := re.fullmatch(rf"{metric}@(\d+)", name)))
    if len(ks) < 2:
        return None
    series, top = [], 1e-12
    for system, cells in systems.items():
        points = {k: _interval(cells[f"{metric}@{k}"]) for k in ks if cells.get(f"{metric}@{k}")}
        if points:
            tips = [f"{system}, {metric}@{k}: {v:.4f} [{low:.4f}, {high:.4f}]" for k, (v, low, high) in points.items()]
            values, low, high = zip(*points.values(), strict=True)
            series.append(Series(system, list(points), values, low, high, tips))
            top = max(top, *high)
    return lines(series, f"{metric} against K", Axis(min(ks), max(ks), "K"), Axis(0, top * 1.05, metric))


def _by_activity(by_system: Mapping[str, Any], metrics: Sequence[str]) -> str | None:
    """Return a chart of recall by the visitor's activity, None if the evaluation has none."""
    if not by_system:
        return None
    metric = _group_metric(metrics)
    groups = [name for name in ACTIVITY if any(name in values for values in by_system.values())]
    cells = {
        (group, system): _interval(values[group][metric])
        for system, values in by_system.items()
        for group in groups
        if metric in values.get(group, {})
    }
    return grouped(groups, list(by_system), cells, metric)
