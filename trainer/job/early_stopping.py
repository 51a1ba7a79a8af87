"""Stopping by a metric on what training does not see: whole rows, which are folded in, or entries of known users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.als import wals
from trainer.als.loop import Factorization
from trainer.als.solver import Solver
from trainer.evaluation import metrics


@dataclass
class HeldOut:
    """Measures after each pass how well held-out rows are completed, and stops when that no longer improves.

    Attributes:
        given: rows 0 .. n - 1 with the entries that are shown: they are folded in.
        truth: the same rows with the entries that are hidden.
        k: recall and NDCG at k. metric: which of the two decides.
        patience: passes without a better value before stopping.
        values: what was found, a pass each.
    """

    given: SparseRows
    truth: SparseRows
    k: int = 20
    metric: str = "recall"
    patience: int = 1
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.metric not in ("recall", "ndcg"):
            raise ValueError(f"metric is {self.metric!r}; it is recall or ndcg")

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """The metrics of the factors as they are."""
        weights = np.ones(len(self.given), np.float32)
        rows, _ = wals.project(
            self.given, weights, state.cols, state.rows.size, state.objective, Solver(state.solver.method).exact()
        )
        return metrics.of_factors(rows, state.cols.table, self.truth, self.given, self.k)

    def after_pass(self, state: Factorization) -> str | None:
        """Why to stop, or None; for `train.fit`."""
        self.values.append(getattr(self.measure(state), self.metric))
        return _better_before(self.values, self.patience, f"{self.metric}@{self.k} on held-out rows")


@dataclass
class HeldOutEntries:
    """The same with users that training knows, by entries of theirs that it does not: those of a dataset's split.

    Attributes:
        truth, seen: rows by key of this process's users, at the same places: what is hidden and what is not.
        k, metric, patience, values: as in `HeldOut`.
    """

    truth: SparseRows
    seen: SparseRows
    k: int = 20
    metric: str = "recall"
    patience: int = 1
    values: list[float] = field(default_factory=list)

    @classmethod
    def of(
        cls, truth: SparseRows, blocks: Iterable[SparseRows], users: int, metric: str, patience: int
    ) -> HeldOutEntries:
        """Takes at most `users` of the users with entries in `truth`, spread evenly, and what `blocks` has of them."""
        some = np.flatnonzero(truth.lengths)
        truth = truth.take(some[:: max(1, -(-len(some) // users))])
        seen = [block.take(np.flatnonzero(np.isin(block.keys, truth.keys))) for block in blocks]
        return cls(truth, SparseRows.concatenated(seen).at(truth.keys), metric=metric, patience=patience)

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """The metrics of the factors as they are, over the users of all processes."""
        items = state.cluster.all_gather(state.cols.table, state.cols.size)
        found = metrics.of_factors(state.rows.table[self.truth.keys], items, self.truth, self.seen, self.k)
        sums = np.array([found.recall * found.users, found.ndcg * found.users, found.users])
        recall, ndcg, users = state.cluster.sum(sums)
        return metrics.FactorMetrics(float(recall / max(users, 1)), float(ndcg / max(users, 1)), int(users))

    def after_pass(self, state: Factorization) -> str | None:
        """Why to stop, or None; for `train.fit`."""
        self.values.append(getattr(self.measure(state), self.metric))
        return _better_before(self.values, self.patience, f"{self.metric}@{self.k} on held-out entries")


def _better_before(values: list[float], patience: int, name: str) -> str | None:
    best = int(np.argmax(values))
    if len(values) - 1 - best < patience:
        return None
    return f"{name} is best after pass {best + 1} ({values[best]:.4f})"
