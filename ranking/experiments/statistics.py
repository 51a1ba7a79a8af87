"""Statistics of experiments: intervals that stay valid however often one looks, the check of the split, the size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy import special

MISMATCH = 0.001  # p-value below which the split is not as asked (Fabijan et al. 2019)
POWER = 0.8


class Ratio(NamedTuple):
    """A ratio of sums over visitors, or a difference of two. variance: its squared standard error; freedom: of that."""

    value: float
    variance: float
    freedom: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the limits of Student's t interval."""
        width = float(special.stdtrit(self.freedom, (1 + confidence) / 2)) * math.sqrt(self.variance)
        return self.value - width, self.value + width


def ratio(totals: np.ndarray, counts: np.ndarray) -> Ratio | None:
    """Return sum of totals / sum of counts, float64 [buckets] of visitors; None if fewer than two buckets have any.

    The variance is that of the delta method (Deng, Knoblich and Lu 2018, Applying the Delta Method in Metric Analytics,
    section 3), of buckets in place of visitors: they are as independent, and memory does not grow with the visitors.
    """
    there = np.flatnonzero((counts != 0) | (totals != 0))
    whole, number = float(counts.sum()), len(there)
    if number < 2 or not whole:
        return None
    value = float(totals.sum()) / whole
    parts = (totals[there] - value * counts[there]) / whole
    return Ratio(value, float(parts @ parts) * number / (number - 1), number - 1)


def difference(one: Ratio, other: Ratio) -> Ratio:
    """Return one minus the other, of different visitors, as Welch (1947) compares two means."""
    variance = one.variance + other.variance
    parts = one.variance**2 / one.freedom + other.variance**2 / other.freedom
    return Ratio(one.value - other.value, variance, variance**2 / parts if parts else one.freedom + other.freedom)


def always_valid(error: float, visitors: float, planned: int, confidence: float) -> float:
    """Return half the width of an interval that is valid at all times at once, of a mean with this standard error.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central
    limit theory and asymptotic confidence sequences, eq. 1, narrowest at `planned` visitors by their rho (B.2).
    """
    alpha = 1 - confidence
    if visitors <= 0:
        return math.inf
    best = -2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1
    t = best * visitors / planned
    return error * math.sqrt(2 * (t + 1) / t * math.log(math.sqrt(t + 1) / alpha))


def mismatch(counts: Sequence[float], shares: Sequence[float]) -> float:
    """Return the p-value of Pearson's chi-square test that visitors were split by the shares; 1 without visitors."""
    observed, expected = np.asarray(counts, float), np.asarray(shares, float) / sum(shares) * sum(counts)
    if len(observed) < 2 or not expected.all():
        return 1.0
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(special.gammaincc((len(observed) - 1) / 2, statistic / 2))


def detectable(variance: float, visitors: Sequence[float], confidence: float, power: float = POWER) -> float:
    """Return the smallest difference of two variants' means that a test finds with this power (Kohavi et al. 2020, 17).

    variance: of one visitor's part of the mean, n times the squared standard error of the mean of n. visitors: of each.
    """
    return _quantiles(confidence, power) * math.sqrt(variance * sum(1 / number for number in visitors))


def needed(variance: float, shares: Sequence[float], effect: float, confidence: float, power: float = POWER) -> int:
    """Return the visitors, of all variants, after which a difference of `effect` between two is found; see above."""
    return math.ceil(variance * sum(1 / share for share in shares) * (_quantiles(confidence, power) / effect) ** 2)


def _quantiles(confidence: float, power: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)
