"""The evaluation's JSON (docs/evaluation.md) -> the page's table and charts.

It reads `systems` and, where they are there, `by_activity`, `differences`, `verdicts`, `against` and `gate`:

    {"kind": "evaluation", "users": 900, "model": {"digest": ...},
     "systems": {"WALS": {"recall@20": {"value": 0.2, "low": 0.19, "high": 0.21}, ...}, "popularity": {...}},
     "by_activity": {"WALS": {"2-5": {"recall@20": {...}}}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import UserError
from report.charts import Axis, Series, grouped, lines

_ACTIVITY = ("1", "2-5", "6-20", "21+")


@dataclass(frozen=True)
class Quality:
    """users: evaluated. systems: names. rows: metric and a cell a system: value, low, high, whether it is the best.

    confidence: of the intervals, as text. differences: rows likewise, ours minus each other system. verdicts: what each
    comparison comes to, and a class for its colour. notes: how much the lists of two models have in common, and what
    the gate said.
    """

    users: int
    confidence: str
    systems: list[str]
    rows: list[tuple[str, list[tuple[float, float, float, bool] | None]]]
    others: list[str]
    differences: list[tuple[str, list[tuple[float, float, float, bool] | None]]]
    verdicts: list[tuple[str, str]]
    notes: list[str]
    against_k: dict[str, str]
    by_activity: str | None


def describe(content: Mapping[str, Any]) -> Quality:
    """Table and charts.

    Raises:
        UserError: the evaluation lacks what it must have.
    """
    try:
        systems = content["systems"]
        metrics = list(dict.fromkeys(name for values in systems.values() for name in values))
        rows = [
            (name, [_cell(values.get(name), name, systems) for values in systems.values()]) for name in _shown(metrics)
        ]
        others = content.get("differences", {})
        differences: list[Any] = [
            (name, [(*_interval(values[name]), False) for values in others.values()])
            for name in _shown(metrics)
            if others and all(name in values for values in others.values())
        ]
        confidence = f"{100 * content.get('settings', {}).get('confidence', 0.95):g} %"
        charts = {name: chart for name in ("recall", "ndcg") if (chart := _against_k(name, systems, metrics))}
        notes, by_activity = _notes(content), _by_activity(content, metrics)
        return Quality(
            int(content["users"]),
            confidence,
            list(systems),
            rows,
            list(others),
            differences,
            _verdicts(content),
            notes,
            charts,
            by_activity,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"the evaluation lacks {error}; make it again with python -m trainer.evaluate") from error


def _verdicts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    colours = {"ahead": "good", "behind": "bad"}
    return [(f"{one['summary']}.", colours.get(one["verdict"], "open")) for one in content.get("verdicts", [])]


def _notes(content: Mapping[str, Any]) -> list[str]:
    notes = []
    if against := content.get("against"):
        shares = [f"{_interval(cell)[0]:.0%} at {name.partition('@')[2]}" for name, cell in against["overlap"].items()]
        notes.append(f"Of a visitor's list and that of {against['system']}, the same: {', '.join(shares)}.")
    for rule in content.get("gate", {}).get("rules", []):
        notes.append(f"Gate {'passed' if rule['passed'] else 'failed'}: {rule['summary']}.")
    return notes


def _shown(metrics: Sequence[str]) -> list[str]:
    """All metrics at the greatest K, then recall and NDCG at the others, by K descending."""
    ks = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name}, reverse=True)
    first = [name for name in metrics if "@" not in name or name.endswith(f"@{ks[0]}")]
    return first + [name for k in ks[1:] for name in (f"recall@{k}", f"ndcg@{k}") if name in metrics]


def _interval(cell: Mapping[str, float]) -> tuple[float, float, float]:
    value = float(cell["value"])
    return value, float(cell.get("low", value)), float(cell.get("high", value))


def _cell(cell: Any, name: str, systems: Mapping[str, Any]) -> tuple[float, float, float, bool] | None:
    if cell is None:
        return None
    others = [float(values[name]["value"]) for values in systems.values() if values.get(name) is not None]
    best = min(others) if name.lower().startswith(("rmse", "gini")) else max(others)
    value, low, high = _interval(cell)
    return value, low, high, len(others) > 1 and value == best


def _against_k(metric: str, systems: Mapping[str, Any], metrics: list[str]) -> str | None:
    """Lines by K with their intervals; None where there are not two K."""
    found = sorted(int(match[1]) for name in metrics if (match := re.fullmatch(rf"{metric}@(\d+)", name)))
    if len(found) < 2:
        return None
    series, top = [], 1e-12
    for system, values in systems.items():
        own = [(k, *_interval(values[f"{metric}@{k}"])) for k in found if values.get(f"{metric}@{k}") is not None]
        if own:
            x, y, low, high = (list(column) for column in zip(*own, strict=True))
            tips = [f"{system}, {metric}@{k}: {v:.4f} [{a:.4f}, {b:.4f}]" for k, v, a, b in own]
            series.append(Series(system, x, y, low, high, tips))
            top = max(top, *high)
    axes = Axis(min(found), max(found), "K"), Axis(0, top * 1.05, metric)
    return lines(series, f"{metric} against K", *axes)


def _by_activity(content: Mapping[str, Any], metrics: list[str]) -> str | None:
    found = content.get("by_activity")
    if not found:
        return None
    systems = list(found)
    names = [name for name in metrics if name.startswith("recall@")] or metrics
    metric = "recall@20" if "recall@20" in names else names[0]
    groups = [name for name in _ACTIVITY if any(name in found[system] for system in systems)]

    def cell(group: int, name: int) -> tuple[float, float, float] | None:
        own = found[systems[name]].get(groups[group], {}).get(metric)
        return None if own is None else _interval(own)

    return grouped(groups, systems, cell, metric)
