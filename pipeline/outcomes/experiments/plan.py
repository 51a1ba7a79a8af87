"""The plan of an experiment: after how many visitors, and days, an effect is found, by an outcome of before."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from artifacts.manifests.outcome import Estimate, Outcome, OutcomeManifest
from configs.errors import UserError
from ranking.experiments import statistics


class Base(NamedTuple):
    """A metric before the experiment.

    variance: of one visitor's part, n times the squared standard error of the mean of n visitors. visitors: of a day.
    """

    metric: str
    value: float
    variance: float
    visitors: float


class Size(NamedTuple):
    """The smallest effects that a number of days finds. relative: of the base's value."""

    days: int
    visitors: int
    effect: float
    relative: float


def bases(outcome: Outcome, manifest: OutcomeManifest) -> list[Base]:
    """Return the metrics that an outcome has; raise UserError if it has none."""
    figures = outcome.together or next(iter(outcome.versions.values()), None)
    found = []
    if figures and (tracked := figures.tracked) and tracked.by_day:
        visitors = manifest.counts.get("visitors.exposures", 0)
        variance = _variance(tracked.whole.ctr, visitors, outcome.confidence)
        if tracked.whole.ctr.value and variance:
            found.append(Base("clicks per exposure", tracked.whole.ctr.value, variance, visitors / len(tracked.by_day)))
    if figures and 0 < figures.next_days.active < figures.next_days.visitors:
        share = figures.next_days.active / figures.next_days.visitors
        by_day = figures.tracked.by_day if figures.tracked else {}
        days = len(by_day) or manifest.settings.outcome.days
        found.append(Base("active visitors", share, share * (1 - share), figures.next_days.visitors / days))
    if not found:
        raise UserError("the outcome has neither clicks nor active visitors; measure days in which lists were live")
    return found


def _variance(estimate: Estimate, visitors: int, confidence: float) -> float:
    """Return n times the squared standard error, from an interval of the mean of n visitors."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    width = 2 * NormalDist().inv_cdf((1 + confidence) / 2)
    return visitors * ((estimate.high - estimate.low) / width) ** 2


def sizes(base: Base, shares: Sequence[float], days: Sequence[int], confidence: float) -> list[Size]:
    """Return what some numbers of days find between two variants of these shares of all visitors."""
    found = []
    for number in days:
        visitors = base.visitors * number
        effect = statistics.detectable(base.variance, [share * visitors for share in shares], confidence)
        found.append(Size(number, round(visitors * sum(shares)), effect, effect / base.value))
    return found


def needed(base: Base, shares: Sequence[float], relative: float, confidence: float) -> tuple[int, int]:
    """Return the visitors of all variants and the days after which a relative effect is found."""
    visitors = statistics.needed(base.variance, shares, base.value * relative, confidence)
    return visitors, -(-visitors // max(round(base.visitors), 1))
