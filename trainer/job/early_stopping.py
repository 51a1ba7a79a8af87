"""Early stopping by a metric on data that training does not see: held-out rows, or held-out entries of known users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from artifacts.sparse_rows import SparseRows
from trainer.als import wals
from trainer.als.loop import Factorization
from trainer.als.solver import Solver
from trainer.evaluation import metrics


@dataclass
class _Measured(ABC):
    """Measures a metric after each pass, and stops when it no longer improves."""

    k: int = field(default=20, kw_only=True)
    metric: str = field(default="recall", kw_only=True)  # or ndcg
    patience: int = field(default=1, kw_only=True)  # passes without a better value before stopping
    values: list[float] = field(default_factory=list, kw_only=True)  # after each pass
    held_out = "held-out rows"

    def __post_init__(self) -> None:
        if self.metric not in ("recall", "ndcg"):
            raise ValueError(f"metric is {self.metric!r}; it must be recall or ndcg")

    @property
    def name(self) -> str:
        """The metric's name, e.g. ndcg@20."""
        return f"{self.metric}@{self.k}"

    @abstractmethod
    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """Return the metrics of the current factors."""

    def after_pass(self, state: Factorization) -> str | None:
        """Measure; return the reason to stop, or None."""
        self.values.append(getattr(self.measure(state), self.metric))
        best = int(np.argmax(self.values))
        if len(self.values) - 1 - best < self.patience:
            return None
        return f"{self.name} on {self.held_out} is best after pass {best + 1} ({self.values[best]:.4f})"


@dataclass
class HeldOut(_Measured):
    """Measures how well held-out rows are completed."""

    given: SparseRows  # rows 0 .. n - 1 with the entries that are shown: they are folded in
    truth: SparseRows  # the same rows with the entries that are hidden

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        weights, solver = np.ones(len(self.given), np.float32), Solver(state.solver.method).exact()
        rows, _ = wals.project(self.given, weights, state.cols, state.rows.size, state.objective, solver)
        return metrics.of_factors(rows, state.cols.table, self.truth, self.given, self.k)


@dataclass
class HeldOutEntries(_Measured):
    """Measures how well the held-out entries of known users are found: those of a dataset's split."""

    truth: SparseRows  # hidden entries of this process's users, by key
    seen: SparseRows  # trained ones, at the same positions
    held_out = "held-out entries"

    @classmethod
    def of(
        cls, truth: SparseRows, blocks: Iterable[SparseRows], users: int, metric: str, patience: int
    ) -> HeldOutEntries:
        """Select at most `users` of the users with entries in `truth`, evenly spread; `blocks` are the trained rows."""
        with_entries = np.flatnonzero(truth.lengths)
        truth = truth.take(with_entries[:: max(1, -(-len(with_entries) // users))])
        seen = [block.take(np.flatnonzero(np.isin(block.keys, truth.keys))) for block in blocks]
        return cls(truth, SparseRows.concatenated(seen).at(truth.keys), metric=metric, patience=patience)

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """Return the metrics of the current factors, over the users of all processes."""
        items = state.cluster.all_gather(state.cols.table, state.cols.size)
        own = metrics.of_factors(state.rows.table[self.truth.keys], items, self.truth, self.seen, self.k)
        recall, ndcg, users = state.cluster.sum(np.array([own.recall * own.users, own.ndcg * own.users, own.users]))
        return metrics.FactorMetrics(float(recall / max(users, 1)), float(ndcg / max(users, 1)), int(users))
