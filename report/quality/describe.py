"""The quality section: tables and charts from the JSON of wals evaluate (docs/evaluation.md).

It reads `systems` and, if present, groups, `differences`, `verdicts`, `against`, `gate`, and hidden items and visitors:

    {"kind": "evaluation", "users": 900, "model": {"digest": ...},
     "systems": {"WALS": {"recall@20": {"value": 0.2, "low": 0.19, "high": 0.21}, ...}, "popularity": {...}},
     "by_activity": {"WALS": {"2-5": {"recall@20": {...}}}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import UserError
from report.charts import Axis, Series, lines
from report.quality import groups, hidden
from report.quality.cells import CHANGE, VALUE, Row, Systems, Table, interval, merged, row


def describe(evaluation: Mapping[str, Any], previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the tables and charts of an evaluation by name; raise UserError if it lacks a required part.

    previous: the evaluation of an earlier model.
    """
    try:
        systems, others = evaluation["systems"], evaluation.get("differences", {})
        metrics = list(dict.fromkeys(name for values in systems.values() for name in values))
        shown, recall = _shown(metrics), _recall(metrics)
        charts = {name: _against_k(name, systems, metrics) for name in ("recall", "ndcg")}
        rows = merged([row(metric, systems) for metric in shown])
        return {
            "users": int(evaluation["users"]),
            "confidence": f"{100 * evaluation.get('settings', {}).get('confidence', 0.95):g} %",
            "systems": list(systems),
            "rows": rows,
            "equal": _equal(evaluation) if any(each.same_as for each in rows) else "",
            "others": list(others),
            "differences": merged(  # of the first system to each of the others, paired by visitor
                [
                    Row(metric, [interval(values[metric]) for values in others.values()])
                    for metric in shown
                    if others and all(metric in values for values in others.values())
                ]
            ),
            "verdicts": _verdicts(evaluation),
            "trade_offs": [
                f"{spot}." for each in evaluation.get("verdicts", []) for spot in each.get("trade_offs", [])
            ],
            "notes": _notes(evaluation),
            "against_k": {name: chart for name, chart in charts.items() if chart},
            "models": [*_against(evaluation, shown), *_earlier(systems, previous, shown)],
            "by_group": groups.charts(evaluation, recall),
            "group_metric": recall,
            "groups": groups.table(evaluation, recall),
            "new_items": hidden.new_items(evaluation.get("new_items")),
            "new_visitors": hidden.new_visitors(evaluation.get("new_visitors")),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"the evaluation lacks {error}; rerun wals evaluate") from error


def _against(evaluation: Mapping[str, Any], metrics: Sequence[str]) -> list[Table]:
    """Return a table of ours, the other model and the paired difference, empty without one."""
    if "against" not in evaluation:
        return []
    systems, other = evaluation["systems"], evaluation["against"]["system"]
    ours, paired = next(iter(systems)), evaluation["differences"][other]
    both = {ours: systems[ours], other: systems[other]}
    rows = [
        (compared := row(metric, both))._replace(cells=[*compared.cells, interval(paired[metric])])
        for metric in metrics
        if metric in paired
    ]
    return [Table(f"{ours} and {other}", "metric", [*both, "difference"], [VALUE, VALUE, CHANGE], merged(rows))]


def _earlier(systems: Systems, previous: Mapping[str, Any] | None, metrics: Sequence[str]) -> list[Table]:
    """Return a table of this run and an earlier one, empty without the latter."""
    if previous is None:
        return []
    both = {"this run": next(iter(systems.values())), "the last run": next(iter(previous["systems"].values()))}
    rows = [row(metric, both) for metric in metrics if all(metric in values for values in both.values())]
    return [Table("This run and the last one", "metric", list(both), [VALUE, VALUE], merged(rows))] if rows else []


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
        shares = ", ".join(f"{interval(cell).value:.0%} at {name.partition('@')[2]}" for name, cell in cells)
        notes.append(f"Share of a visitor's list that is also in the list of {against['system']}: {shares}.")
    for rule in evaluation.get("gate", {}).get("rules", []):
        notes.append(f"Gate {'passed' if rule['passed'] else 'failed'}: {rule['summary']}.")
    return notes


def _equal(evaluation: Mapping[str, Any]) -> str:
    """Return why metrics share a row."""
    if evaluation.get("pairs") != evaluation["users"]:
        return "Metrics that are equal in every system share a row."
    return "One item is held out of each visitor, so some metrics are equal by construction and share a row."


def _shown(metrics: Sequence[str]) -> list[str]:
    """Return all metrics at the greatest K, then recall and NDCG at the other K in descending order."""
    ks = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name}, reverse=True)
    first = [name for name in metrics if "@" not in name or name.endswith(f"@{ks[0]}")]
    return first + [name for k in ks[1:] for name in (f"recall@{k}", f"ndcg@{k}") if name in metrics]


def _recall(metrics: Sequence[str]) -> str:
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
        points = {k: interval(cells[f"{metric}@{k}"]) for k in ks if cells.get(f"{metric}@{k}")}
        if points:
            tips = [f"{system}, {metric}@{k}: {v:.4f} [{low:.4f}, {high:.4f}]" for k, (v, low, high) in points.items()]
            values, low, high = zip(*points.values(), strict=True)
            series.append(Series(system, list(points), values, low, high, tips))
            top = max(top, *high)
    return lines(series, f"{metric} against K", Axis(min(ks), max(ks), "K"), Axis(0, top * 1.05, metric))
