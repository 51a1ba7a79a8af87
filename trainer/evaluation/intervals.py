"""Sums by groups of users -> metrics with confidence intervals.

Means: a bootstrap over users (`ranking.measures.bootstrap`); above 2,048 users, of buckets of users. Two systems on the
same users are drawn together, so that differences are paired.

Coverage and gini belong to all lists together, and a draw with repetition would contain fewer of them: their intervals
are normal, with the standard error of a jackknife that leaves out one of 20 parts of the users at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ranking.measures.bootstrap import Bootstrap, Cell
from trainer.evaluation.metrics import ILS, RMSE, USER_METRICS, Columns, Sums, coverage, gini

Cells = dict[str, Cell]
Means = dict[str, np.ndarray]


class Drawn(NamedTuple):
    """Metrics by name, and float64 [resamples] of each one's draws."""

    values: Means
    draws: Means


class Intervals(Bootstrap):
    """One set of draws for all systems, metrics and differences."""

    def __init__(self, buckets: int, resamples: int, confidence: float, seed: int):
        super().__init__(buckets, resamples, confidence, seed)
        self._quantile = NormalDist().inv_cdf(self.tails[1])

    def of(self, sums: Sums) -> Cells:
        """Return all metrics of a system."""
        users, alike = sums.counts.sum(axis=1), zip(sums.ks, sums.similarity.T, strict=True)
        cells = self.means(self.drawn(sums)) | {f"{ILS}@{k}": self.mean(column, users) for k, column in alike}
        cells |= self._of_all_lists(sums, coverage) | self._of_all_lists(sums, gini)
        if sums.errors.any():
            drawn, total = self.draws @ sums.errors, sums.errors.sum(axis=0)
            cells[RMSE] = self.cell(math.sqrt(total[0] / total[1]), np.sqrt(drawn[:, 0] / drawn[:, 1]))
        return cells

    def differences(self, first: Sums, second: Sums) -> Cells:
        """Return first - second, paired, of the metrics that are means over users."""
        return self.difference(self.drawn(first), self.drawn(second))

    def drawn_by_group(self, sums: Sums, names: Sequence[str]) -> dict[str, Drawn]:
        """Return what is drawn of each group of users that is not empty; names: of the groups of `sums`, in order."""
        return {name: self.drawn(sums, group) for group, name in enumerate(names) if sums.counts[:, group].any()}

    def drawn(self, sums: Sums, group: int | None = None) -> Drawn:
        """Return the metrics that are means over users, of all or of one group, and their draws."""
        cells, counts = sums.cells.sum(axis=1), sums.counts.sum(axis=1)
        if group is not None:
            cells, counts = sums.cells[:, group], sums.counts[:, group]
        drawn = np.tensordot(self.draws, cells, axes=1)
        return Drawn(_means(cells.sum(0), counts.sum(), sums.ks), _means(drawn, self.draws @ counts, sums.ks))

    def means(self, drawn: Drawn) -> Cells:
        """Return the metrics with their intervals."""
        return self.cells(drawn.values, drawn.draws)

    def difference(self, first: Drawn, second: Drawn) -> Cells:
        """Return first - second with intervals; what is drawn together is paired."""
        return self.cells(
            {name: value - second.values[name] for name, value in first.values.items()},
            {name: draws - second.draws[name] for name, draws in first.draws.items()},
        )

    def _of_all_lists(self, sums: Sums, metric: Callable[[np.ndarray], float]) -> Cells:
        cells, parts = {}, sums.exposure.cumsum(axis=1)
        used = parts[parts.any(axis=(1, 2))]
        for column, k in enumerate(sums.ks):
            whole, number, error = used[:, column].sum(axis=0), len(used), 0.0
            value = metric(whole)
            if number:
                without = np.array([metric(whole - part) for part in used[:, column]])
                error = math.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum())
            low, high = max(0.0, value - self._quantile * error), min(1.0, value + self._quantile * error)
            cells[f"{metric.__name__}@{k}"] = Cell(value, low, high)
        return cells


def _means(totals: np.ndarray, users: np.ndarray, ks: np.ndarray) -> Means:
    """Return metrics by name from totals float64 [..., ks, columns] and users float64 [...]."""
    means: Means = {}
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any user of a small group
        for number, k in enumerate(ks):
            columns = Columns.of(totals[..., number, :])
            for name in USER_METRICS:
                means[f"{name}@{k}"] = getattr(columns, name) / users
            means[f"novelty@{k}"] = columns.information / columns.recommendations
    return means
