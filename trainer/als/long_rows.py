"""A row with more entries than a batch may have: its normal equations are summed piece by piece."""

from __future__ import annotations

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.machine import cores
from trainer.als.kernels.rows import RowSystems

_ENTRIES = 4096  # multiplied at once: float32 sums stay short


class LongRow:
    """The normal equations of one row, float64, in the basis (see `trainer.als.wals`).

        H = sum W v v'  [k, k],    b = sum (w0 + W) a v  [k],    c = sum (w0 + W) a^2,    W = R C E

    The solution is (D + H)^-1 b with the diagonal D = w0 G + lambda_i I, and the row's share of the unregularised loss
    is c - 2 u.b + u'(w0 G + H) u.
    """

    def __init__(self, key: int, k: int):
        self.key, self.entries = key, 0
        self._h, self._b, self._c, self._weight = np.zeros((k, k)), np.zeros(k), 0.0, 0.0

    def add(self, piece: SparseRows, systems: RowSystems) -> None:
        """Add some of the row's entries."""
        w0 = float(systems.unobserved_weight)
        for low in range(0, piece.entries, _ENTRIES):
            part = slice(low, low + _ENTRIES)
            columns, a = piece.indices[part], piece.values[part].astype(np.float64)
            v = systems.table[columns]
            w = float(systems.row_weights[self.key]) * systems.column_weights[columns].astype(np.float64)
            if len(piece.weights):
                w *= piece.weights[part]
            z = v * np.sqrt(w).astype(np.float32)[:, None]
            with threads.blas_threads(cores()):
                self._h += z.T @ z
            self._b += ((w0 + w) * a) @ v
            self._c += float((w0 + w) @ a**2)
            self._weight += float(w.sum())
        self.entries += piece.entries

    def solve(self, systems: RowSystems) -> tuple[np.ndarray, np.ndarray]:
        """Return the row's factors, float32 [k], and its sums, float64 [3], as the kernels do."""
        ridge = float(systems.ridges[self.key])
        scale = 1 / np.sqrt(systems.safe_diagonal.astype(np.float64) + ridge)
        left = np.eye(len(scale)) + self._h * scale[:, None] * scale
        u = (scale * np.linalg.solve(left, scale * self._b)).astype(np.float32)
        wide = u.astype(np.float64)
        fit = self._c - 2 * wide @ self._b + wide @ self._h @ wide + float(systems.diagonal @ wide**2)
        return u, np.array([fit, ridge * float(wide @ wide), self._weight])
