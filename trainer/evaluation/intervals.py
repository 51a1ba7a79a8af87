"""Sums by groups of users -> metrics with confidence intervals.

Means: a bootstrap over users (Efron 1979), percentiles of `resamples` draws. Above 2,048 users it draws buckets of
users, filled by a hash, instead of single ones: a mean over buckets drawn at random varies as one over users does, and
memory does not grow with them. Two systems on the same users are drawn together, so that differences are paired.

Coverage and gini are of all lists together, and a draw with repetition would know fewer of them: their intervals are
normal, with the standard error of a jackknife that leaves out one of 20 parts of the users at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trainer.evaluation.metrics import ACTIVITY, RMSE, USER_METRICS, Sums, coverage, gini


@dataclass(frozen=True)
class Cell:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


Cells = dict[str, Cell]
Means = dict[str, np.ndarray]


class Intervals:
    """Draws once for all systems, metrics and differences."""

    def __init__(self, buckets: int, resamples: int, confidence: float, seed: int):
        rng = np.random.default_rng(seed)
        self._draws = rng.multinomial(buckets, np.full(buckets, 1 / buckets), resamples).astype(np.float64)
        self._tails = (1 - confidence) / 2, (1 + confidence) / 2
        self._quantile = NormalDist().inv_cdf(self._tails[1])

    def of(self, sums: Sums, activity: int | None = None) -> Cells:
        """All metrics of a system; `activity`: of these users alone, without what only all lists together have."""
        cells, counts = _chosen(sums, activity)
        values, draws = (
            _means(cells.sum(0), counts.sum(), sums),
            _means(self._draws @ cells, self._draws @ counts, sums),
        )
        found = {name: self._cell(float(values[name]), draws[name]) for name in values}
        if activity is None:
            found |= self._of_all_lists(sums, coverage) | self._of_all_lists(sums, gini)
            if sums.errors.any():
                drawn = self._draws @ sums.errors
                root = np.sqrt(drawn[:, 0] / drawn[:, 1])
                found[RMSE] = self._cell(math.sqrt(sums.errors[:, 0].sum() / sums.errors[:, 1].sum()), root)
        return found

    def by_activity(self, sums: Sums) -> dict[str, Cells]:
        """The same by how many items a user has, without empty groups."""
        names = [name for place, name in enumerate(ACTIVITY) if sums.counts[:, place].any()]
        return {name: self.of(sums, list(ACTIVITY).index(name)) for name in names}

    def differences(self, one: Sums, other: Sums) -> Cells:
        """one - other, paired: the metrics that are means over users."""
        (first, first_draws), (second, second_draws) = self._drawn(one), self._drawn(other)
        return {
            name: self._cell(float(value - second[name]), first_draws[name] - second_draws[name])
            for name, value in first.items()
        }

    def _drawn(self, sums: Sums, activity: int | None = None) -> tuple[Means, Means]:
        """Metrics of all users, and float64 [resamples] of each draw."""
        cells, counts = _chosen(sums, activity)
        draws = _means(self._draws @ cells, self._draws @ counts, sums)
        return _means(cells.sum(0), counts.sum(), sums), draws

    def mean(self, totals: np.ndarray, counts: np.ndarray) -> Cell:
        """Of float64 [buckets] sums over users and their numbers."""
        draws = (self._draws @ totals) / (self._draws @ counts)
        return self._cell(float(totals.sum() / counts.sum()), draws)

    def _cell(self, value: float, draws: np.ndarray) -> Cell:
        low, high = np.nanquantile(draws, self._tails) if np.isfinite(draws).any() else (value, value)
        return Cell(value, float(low), float(high))

    def _of_all_lists(self, sums: Sums, metric: Callable[[np.ndarray], float]) -> Cells:
        found, parts = {}, sums.exposure.cumsum(axis=1)
        there = parts[parts.any(axis=(1, 2))]
        for place, k in enumerate(sums.ks):
            whole = there[:, place].sum(axis=0)
            value, number = metric(whole), len(there)
            without = np.array([metric(whole - part) for part in there[:, place]])
            error = (
                math.sqrt((number - 1) / max(number, 1) * ((without - without.mean()) ** 2).sum()) if number else 0.0
            )
            low, high = max(0.0, value - self._quantile * error), min(1.0, value + self._quantile * error)
            found[f"{metric.__name__}@{k}"] = Cell(value, low, high)
        return found


def _chosen(sums: Sums, activity: int | None) -> tuple[np.ndarray, np.ndarray]:
    """float64 [buckets, columns] and [buckets]: of all users, or of one activity."""
    if activity is None:
        return sums.cells.sum(axis=1), sums.counts.sum(axis=1)
    return sums.cells[:, activity], sums.counts[:, activity]


def _means(totals: np.ndarray, users: np.ndarray, sums: Sums) -> Means:
    """Metrics by name from totals float64 [..., columns] and users float64 [...]."""
    found: Means = {}
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any user of a small group
        for place, k in enumerate(sums.ks):
            columns = totals[..., 8 * place : 8 * place + 8]
            for number, name in enumerate(USER_METRICS):
                found[f"{name}@{k}"] = columns[..., number] / users
            found[f"novelty@{k}"] = columns[..., 6] / columns[..., 7]
    return found
