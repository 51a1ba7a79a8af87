"""The section on what the recommendations of this model did after they were live, from `wals outcome`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import NamedTuple

from artifacts.manifests.outcome import (
    Compared,
    ItemLift,
    Outcome,
    ShownGroup,
    Tracked,
    VersionOutcome,
    Visitor,
)
from configs.nouns import counted
from report.charts import Axis, Interval, Series, grouped, lines
from report.quality.cells import CHANGE, VALUE, Row, Table, of_estimate
from report.quality.experiments import Tested, tested
from report.visitors import Line

_VERSIONS = 4  # in the chart by day, the last ones: as many as there are dashes
_DAY = datetime.timedelta(days=1)


class Met(NamedTuple):
    """A visitor who came back: items had before, the list, and what the visitor came for; hits are marked in both."""

    outcome: str  # hit or miss
    rule: str
    had: list[Line]
    listed: list[Line]
    came: list[Line]


class Happened(NamedTuple):
    """The section. confidence: of the intervals, as text; details: tables that are closed at first."""

    lead: str
    confidence: str
    tables: list[Table]
    charts: dict[str, str]
    details: list[Table]
    items: dict[str, list[tuple[ItemLift, Interval | None]]]
    experiments: list[Tested]
    visitors: list[Met]


def happened(outcome: Outcome | None, version: str) -> Happened | None:
    """Return the section on a version, None if it was not measured."""
    found = outcome.versions.get(version) if outcome else None
    if outcome is None or found is None:
        return None
    tracked, charts = found.tracked, _by_day(outcome)
    if tracked:
        charts |= _by_group("CTR by rank", tracked.by_rank)
        charts |= _by_group("CTR by days from an item's first view", tracked.by_age)
    items = {"clicked more than others at their ranks": tracked.best, "clicked less": tracked.worst} if tracked else {}
    in_turn = [one for pair in zip_longest(found.hits, found.misses) for one in pair if one]
    return Happened(
        lead=_lead(found),
        confidence=f"{100 * outcome.confidence:g} %",
        tables=[*_next_days(found), *_clicks(tracked)],
        charts=charts,
        details=list(_details(found)),
        items={title: [(one, of_estimate(one.lift)) for one in lifts] for title, lifts in items.items() if lifts},
        experiments=tested(outcome),
        visitors=[_met(one) for one in in_turn],
    )


def _lead(found: VersionOutcome) -> str:
    days, tracked = found.next_days, found.tracked
    came = f"{days.active:,} of {counted(days.visitors, 'visitor')} with a list came for something new to them."
    if tracked is None:
        return f"{came} Exposures of the list were not measured (outcome.list_name)."
    whole = tracked.whole
    return f"{came} The list had {counted(whole.exposures, 'exposure')} and {counted(whole.clicks, 'click')}."


def _next_days(found: VersionOutcome) -> Iterator[Table]:
    if found.next_days.whole:
        metrics = found.next_days.whole.metrics
        yield _compared("Next days: what visitors came for, in their lists and in popularity", "metric", metrics)


def _compared(title: str, first: str, rows: Mapping[str, Compared]) -> Table:
    cells = {name: (one.live, one.popularity, one.difference) for name, one in rows.items()}
    made = [Row(name, [of_estimate(each) for each in parts]) for name, parts in cells.items()]
    return Table(title, first, ["live", "popularity", "difference"], [VALUE, VALUE, CHANGE], made)


def _clicks(tracked: Tracked | None) -> Iterator[Table]:
    if tracked:
        groups = {"all": tracked.whole, **tracked.by_rule}
        rows = [Row(name, [of_estimate(group.ctr), of_estimate(group.corrected)]) for name, group in groups.items()]
        yield Table("Clicks per exposure", "rule", ["CTR", "CTR, position-corrected"], [VALUE, VALUE], rows)


def _details(found: VersionOutcome) -> Iterator[Table]:
    days, tracked = found.next_days, found.tracked
    if days.whole:
        metric = list(days.whole.metrics)[len(days.whole.metrics) // 2 - 1]  # hit_rate at the greatest K
        for name, groups in (("rule", days.by_rule), ("items before", days.by_activity)):
            if groups:
                of_metric = {group: one.metrics[metric] for group, one in groups.items()}
                yield _compared(f"{metric} by {name}", name, of_metric)
        if days.by_category:
            yield _compared("Hits per entry by category", "category", {k: v.share for k, v in days.by_category.items()})
    if tracked and tracked.by_category:
        rows = [Row(name, [of_estimate(group.ctr)]) for name, group in tracked.by_category.items()]
        yield Table("CTR by category", "category", ["CTR"], [VALUE], rows)
    for kind, by_rule in (tracked.due if tracked else {}).items():
        rows = [
            Row(f"{rule}: {one.number:,}, value {one.value:,.2f}", [of_estimate(one.per_touch)])
            for rule, one in by_rule.items()
        ]
        yield Table(f"Attributed {kind}", "rule", ["per touch"], [VALUE], rows)


def _by_day(outcome: Outcome) -> dict[str, str]:
    """Return a chart of the CTR by day, a line with a band per version; none if no version has two days."""
    of_versions = {
        name: {day: group.ctr for day, group in one.tracked.by_day.items() if group.ctr.value is not None}
        for name, one in outcome.versions.items()
        if one.tracked
    }
    of_versions = dict([(name, days) for name, days in of_versions.items() if days][-_VERSIONS:])
    known = sorted(day for days in of_versions.values() for day in days)
    if not known or known[0] == known[-1]:
        return {}
    first, last = (datetime.date.fromisoformat(day) for day in (known[0], known[-1]))
    names = [f"{first + number * _DAY:%m-%d}" for number in range((last - first).days + 1)]
    series, top = [], 1e-12
    for name, days in of_versions.items():
        places = [(datetime.date.fromisoformat(day) - first).days for day in days]
        values, low, high = zip(*[of_estimate(ctr) for ctr in days.values()], strict=True)
        tips = [
            f"{name}, {day}: {v:.4f} [{a:.4f}, {b:.4f}]" for day, v, a, b in zip(days, values, low, high, strict=True)
        ]
        series.append(Series(name, places, values, low, high, tips))
        top = max(top, *high)
    x = Axis(0, len(names) - 1, "day of the exposure, UTC", names=tuple(names))
    chart = lines(series, "CTR by day and version", x, Axis(0, top * 1.05, "CTR"))
    return {"CTR by day and version, with intervals": chart}


def _by_group(title: str, groups: Mapping[str, ShownGroup]) -> dict[str, str]:
    cells = {(name.lstrip("0"), "CTR"): of_estimate(group.ctr) for name, group in groups.items()}
    known = {key: cell for key, cell in cells.items() if cell}
    return {f"{title}, with intervals": grouped([name for name, _ in known], ["CTR"], known, "CTR")} if known else {}


def _met(visitor: Visitor) -> Met:
    hits = set(visitor.listed) & set(visitor.came)
    had, listed, came = (
        [Line(item, "", is_held_out=item in hits) for item in items]
        for items in (visitor.had, visitor.listed, visitor.came)
    )
    return Met("hit" if hits else "miss", visitor.rule, had, listed, came)
