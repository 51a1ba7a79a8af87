"""A row with more entries than may be gathered at once: its normal equations are summed piece by piece."""

from __future__ import annotations

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.als import parallel

_ENTRIES = 4096  # multiplied at once: float32 sums stay short


class LongRow:
    """The normal equations of one row, float64, in the basis (see `wals`).

        H = sum W v v'  [k, k],    b = sum (w0 + W) a v  [k],    c = sum (w0 + W) a^2,    W = R C E

    The solution is (D + H)^-1 b with the diagonal D = w0 G + lambda_i I, and the row's share of the unregularised loss
    is c - 2 u.b + u'(w0 G + H) u.
    """

    def __init__(self, k: int, w0: float):
        self.entries, self._w0 = 0, w0
        self._h, self._b, self._c, self._weight = np.zeros((k, k)), np.zeros(k), 0.0, 0.0

    def add(self, piece: SparseRows, weight: float, weights: np.ndarray, table: np.ndarray) -> None:
        """Takes in some entries; weight: R of the row; weights, table: float32 [m] and [m, k] of the columns."""
        for low in range(0, piece.entries, _ENTRIES):
            part = slice(low, low + _ENTRIES)
            v, a = table[piece.indices[part]], piece.values[part].astype(np.float64)
            w = weight * weights[piece.indices[part]].astype(np.float64)
            if len(piece.weights):
                w *= piece.weights[part]
            z = v * np.sqrt(w).astype(np.float32)[:, None]
            with parallel.blas_threads(parallel.cores()):
                self._h += z.T @ z
            self._b += ((self._w0 + w) * a) @ v
            self._c += float((self._w0 + w) @ a**2)
            self._weight += float(w.sum())
        self.entries += piece.entries

    def solve(self, shared: tuple[np.ndarray, np.ndarray], regularization: float) -> tuple[np.ndarray, np.ndarray]:
        """The row's factors, float32 [k], and its sums, float64 [3], as in `row_solvers`.

        Args:
            shared: w0 times the Gramian's eigenvalues kept away from 0, and as they are.
            regularization: lambda_i.
        """
        scale = 1 / np.sqrt(shared[0].astype(np.float64) + regularization)
        left = np.eye(len(scale)) + self._h * scale[:, None] * scale
        u = (scale * np.linalg.solve(left, scale * self._b)).astype(np.float32)
        wide = u.astype(np.float64)
        fit = self._c - 2 * wide @ self._b + wide @ self._h @ wide + float(shared[1] @ wide**2)
        return u, np.array([fit, regularization * float(wide @ wide), self._weight])
