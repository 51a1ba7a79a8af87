"""Early stopping by a metric on data that training does not see: held-out rows, or held-out entries of known users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from artifacts.sparse_rows import SparseRows
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
        k: recall and NDCG at k. metric: recall or ndcg, the one that decides.
        patience: passes without a better value before stopping.
        values: the metric after each pass.
    """

    given: SparseRows
    truth: SparseRows
    k: int = 20
    metric: str = "recall"
    patience: int = 1
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.metric not in ("recall", "ndcg"):
            raise ValueError(f"metric is {self.metric!r}; it must be recall or ndcg")

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """Return the metrics of the current factors."""
        weights, solver = np.ones(len(self.given), np.float32), Solver(state.solver.method).exact()
        rows, _ = wals.project(self.given, weights, state.cols, state.rows.size, state.objective, solver)
        return metrics.of_factors(rows, state.cols.table, self.truth, self.given, self.k)

    def after_pass(self, state: Factorization) -> str | None:
        """Measure; return the reason to stop, or None."""
        self.values.append(getattr(self.measure(state), self.metric))
        return _reason_to_stop(self.values, self.patience, f"{self.metric}@{self.k} on held-out rows")


@dataclass
class HeldOutEntries:
    """Measures after each pass how well the held-out entries of known users are found: those of a dataset's split.

    Attributes:
        truth, seen: rows by key of this process's users, at the same positions: hidden entries, and trained ones.
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
        """Select at most `users` of the users with entries in `truth`, evenly spread; `blocks` are the trained rows."""
        with_entries = np.flatnonzero(truth.lengths)
        truth = truth.take(with_entries[:: max(1, -(-len(with_entries) // users))])
        seen = [block.take(np.flatnonzero(np.isin(block.keys, truth.keys))) for block in blocks]
        return cls(truth, SparseRows.concatenated(seen).at(truth.keys), metric=metric, patience=patience)

    @property
    def name(self) -> str:
        """The metric's name, e.g. ndcg@20."""
        return f"{self.metric}@{self.k}"

    def measure(self, state: Factorization) -> metrics.FactorMetrics:
        """Return the metrics of the current factors, over the users of all processes."""
        items = state.cluster.all_gather(state.cols.table, state.cols.size)
        own = metrics.of_factors(state.rows.table[self.truth.keys], items, self.truth, self.seen, self.k)
        recall, ndcg, users = state.cluster.sum(np.array([own.recall * own.users, own.ndcg * own.users, own.users]))
        return metrics.FactorMetrics(float(recall / max(users, 1)), float(ndcg / max(users, 1)), int(users))

    def after_pass(self, state: Factorization) -> str | None:
        """Measure; return the reason to stop, or None."""
        self.values.append(getattr(self.measure(state), self.metric))
        return _reason_to_stop(self.values, self.patience, f"{self.name} on held-out entries")


def _reason_to_stop(values: list[float], patience: int, name: str) -> str | None:
    best = int(np.argmax(values))
    if len(values) - 1 - best < patience:
        return None
    return f"{name} is best after pass {best + 1} ({values[best]:.4f})"
