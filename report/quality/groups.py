"""Quality by groups of visitors and of held-out items, and coverage by the popularity of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from report.charts import Interval, grouped
from report.quality.cells import interval
from trainer.evaluation.metrics import ACTIVITY
from trainer.evaluation.segments import AGED, HAVE, HELD_OUT, MIDDLE, MOST_POPULAR, RARE

_KINDS = (HAVE, HELD_OUT, AGED)
_BANDS = (MOST_POPULAR, MIDDLE, RARE)


class Group(NamedTuple):
    """A group of visitors or of held-out items: its kind and name, its visitors, and a metric for each system.

    notes: "better" or "worse" for each other system, where the paired interval of ours minus its is above or below 0.
    """

    kind: str
    name: str
    users: int
    cells: list[Interval | None]
    notes: list[str]


def charts(evaluation: Mapping[str, Any], metric: str) -> dict[str, str]:
    """Return charts of a metric by activity, popularity and age, and of the coverage by popularity, by caption."""
    by_segment, coverage = evaluation.get("by_segment", {}), evaluation.get("coverage_by_band", {})
    segments = list(evaluation.get("segments", {}))
    ages = [name for name in segments if name.startswith(AGED) and not name.startswith(HELD_OUT)]
    bands = [HELD_OUT + band for band in _BANDS if HELD_OUT + band in segments]
    covered = {
        system: {band: {metric: {"value": share}} for band, share in shares.items()}
        for system, shares in coverage.items()
    }
    made = {
        "By number of items per visitor": _chart(evaluation.get("by_activity") or {}, list(ACTIVITY), "", metric),
        "By popularity of the held-out item, in thirds": _chart(by_segment, bands, HELD_OUT, metric),
        "By age of the held-out item at the end of train": _chart(by_segment, ages, AGED, metric),
        "Coverage: share of items that are recommended at all, by popularity": _chart(
            covered, list(_BANDS), "", metric, "share of the items"
        ),
    }
    return {caption: chart for caption, chart in made.items() if chart}


def _chart(by_system: Mapping[str, Any], names: Sequence[str], prefix: str, metric: str, label: str = "") -> str | None:
    """Return a chart of the groups that have the metric, None if there are none; prefix: of names that is left out."""
    cells = {
        (name.removeprefix(prefix).removeprefix("the ").removesuffix(" third"), system): interval(values[name][metric])
        for system, values in by_system.items()
        for name in names
        if metric in values.get(name, {})
    }
    shown = list(dict.fromkeys(name for name, _ in cells))
    return grouped(shown, list(by_system), cells, label or metric) if cells else None


def table(evaluation: Mapping[str, Any], metric: str) -> list[Group]:
    """Return the groups of visitors and of held-out items, in the order of the evaluation."""
    by_system, differences = evaluation.get("by_segment", {}), evaluation.get("differences_by_segment", {})
    groups = []
    for name, users in evaluation.get("segments", {}).items():
        cells, paired = (
            [interval(values[name][metric]) if metric in values.get(name, {}) else None for values in systems.values()]
            for systems in (by_system, differences)
        )
        notes = ["better" if cell and cell.low > 0 else "worse" if cell and cell.high < 0 else "" for cell in paired]
        kind = next((kind for kind in _KINDS if name.startswith(kind)), "")
        groups.append(Group(kind.strip(), name.removeprefix(kind), users, cells, ["", *notes]))
    return groups
