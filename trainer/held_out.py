"""Stopping by a metric on rows that training does not see."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trainer import metrics, wals
from trainer.solver import Solver
from trainer.sparse import SparseRows
from trainer.train import Factorization


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

    def measure(self, state: Factorization) -> metrics.Ranking:
        """The metrics of the factors as they are."""
        weights = np.ones(len(self.given), np.float32)
        rows, _ = wals.project(
            self.given, weights, state.cols, state.rows.size, state.objective, Solver(state.solver.method).exact()
        )
        return metrics.ranking(rows, state.cols.table, self.truth, self.given, self.k)

    def after_pass(self, state: Factorization) -> str | None:
        """Why to stop, or None; for `train.fit`."""
        self.values.append(getattr(self.measure(state), self.metric))
        best = int(np.argmax(self.values))
        if len(self.values) - 1 - best >= self.patience:
            return f"{self.metric}@{self.k} on held-out rows is best after pass {best + 1} ({self.values[best]:.4f})"
        return None
