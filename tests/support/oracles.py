"""Plain answers to compare with: dense, float64, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DenseWals:
    """Weighted ALS on a dense matrix, by the objective and nothing else.

    observed: bool [n, m]. ratings: [n, m]. row_weights [n], col_weights [m]; entry_weights [n, m] or None.
    """

    observed: np.ndarray
    ratings: np.ndarray
    row_weights: np.ndarray
    col_weights: np.ndarray
    w0: float
    lam: float
    nu: float = 0.0
    entry_weights: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        own = np.outer(self.row_weights, self.col_weights)
        if self.entry_weights is not None:
            own = own * self.entry_weights
        return self.w0 + np.where(self.observed, own, 0.0)

    @property
    def targets(self) -> np.ndarray:
        return np.where(self.observed, self.ratings, 0.0)

    def ridge(self, axis: int) -> np.ndarray:
        """lambda of each row (axis 0) or column (axis 1)."""
        n = self.observed.shape[1 - axis]
        return self.lam * (self.observed.sum(1 - axis) + self.w0 * n) ** self.nu

    def solve_rows(self, fixed: np.ndarray) -> np.ndarray:
        """[n, k]: every row's solution, the least-norm one where there are several."""
        return _solve(self.weights, self.targets, self.ridge(0), fixed)

    def solve_cols(self, fixed: np.ndarray) -> np.ndarray:
        return _solve(self.weights.T, self.targets.T, self.ridge(1), fixed)

    def loss(self, rows: np.ndarray, cols: np.ndarray) -> tuple[float, float]:
        """Return the regularised loss and the RWSE."""
        squares = (self.weights * (self.targets - rows @ cols.T) ** 2).sum()
        penalty = (self.ridge(0) * (rows**2).sum(1)).sum() + (self.ridge(1) * (cols**2).sum(1)).sum()
        return float(squares + penalty), float(np.sqrt(squares / self.weights.sum()))

    def sweeps(self, rows: np.ndarray, cols: np.ndarray, count: int):
        """`count` sweeps, rows first: the factors, and loss and RWSE after each."""
        rows, cols, history = rows.astype(float), cols.astype(float), []
        for sweep in range(count):
            if sweep % 2 == 0:
                rows = self.solve_rows(cols)
            else:
                cols = self.solve_cols(rows)
            history.append(self.loss(rows, cols))
        return rows, cols, history


def _solve(weights: np.ndarray, targets: np.ndarray, ridge: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    fixed = fixed.astype(float)
    out = np.zeros((len(weights), fixed.shape[1]))
    for i, (weight, target) in enumerate(zip(weights, targets, strict=True)):
        left = fixed.T @ (weight[:, None] * fixed) + ridge[i] * np.eye(fixed.shape[1])
        right = fixed.T @ (weight * target)
        out[i] = np.linalg.lstsq(left, right, rcond=1e-9)[0]
    return out
