"""Tables on what the recommendations of this model did after they were live, from `wals outcome`."""

from __future__ import annotations

from collections.abc import Iterator

from artifacts.manifests.outcome import Estimate, VersionOutcome
from report.charts import Interval
from report.quality.cells import CHANGE, VALUE, Row, Table


def happened(outcome: VersionOutcome | None) -> list[Table]:
    """Return tables on the next days and on clicks, empty if they were not measured."""
    return [*_next_days(outcome), *_clicks(outcome)] if outcome else []


def _next_days(outcome: VersionOutcome) -> Iterator[Table]:
    days = outcome.next_days
    if days.whole:
        rows = [
            Row(metric, [_interval(each) for each in (found.live, found.popularity, found.difference)])
            for metric, found in days.whole.metrics.items()
        ]
        title = f"Next days: {days.active:,} of {days.visitors:,} visitors with a list came for something new"
        yield Table(title, "metric", ["live", "popularity", "difference"], [VALUE, VALUE, CHANGE], rows)


def _clicks(outcome: VersionOutcome) -> Iterator[Table]:
    if tracked := outcome.tracked:
        groups = {"all": tracked.whole, **tracked.by_rule}
        rows = [Row(name, [_interval(group.ctr), _interval(group.corrected)]) for name, group in groups.items()]
        title = f"{tracked.whole.exposures:,} exposures and {tracked.whole.clicks:,} clicks"
        yield Table(title, "rule", ["CTR", "CTR, position-corrected"], [VALUE, VALUE], rows)


def _interval(estimate: Estimate | None) -> Interval | None:
    if estimate is None or estimate.value is None:
        return None
    low, high = (estimate.value if limit is None else limit for limit in (estimate.low, estimate.high))
    return Interval(estimate.value, low, high)
