"""The basis in which rows are solved: the eigenvectors of the fixed side's Gramian.

With G = Q diag(l) Q', the loss does not change when both tables are rotated by Q, and w0 G + lambda_i I becomes the
diagonal w0 l + lambda_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from ranking import threads
from ranking.machine import cores

# Rows multiplied at once: their products stay in the cache, and their float32 sums short.
BLOCK = 1024


@dataclass(frozen=True)
class Basis:
    """The eigenvectors and the eigenvalues of a Gramian."""

    vectors: np.ndarray  # float64 [k, k], orthogonal; column d belongs to eigenvalue d
    eigenvalues: np.ndarray  # float64 [k], ascending, none below 0

    @classmethod
    def of(cls, gramian: np.ndarray) -> Basis:
        """Return the basis of a float64 [k, k] Gramian; raise UserError if it is not finite."""
        if not np.isfinite(gramian).all():
            raise UserError("the factors exceed float32, because ratings are too large; set rating.scale to less")
        with threads.blas_threads(cores() if len(gramian) > 512 else 1):
            eigenvalues, vectors = np.linalg.eigh(gramian)
        return cls(vectors, np.maximum(eigenvalues, 0.0))

    def diagonals(self, w0: float, least_regularization: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return w0 times the eigenvalues, float32 [k]: first kept away from 0, then as they are.

        Without regularisation w0 G + lambda I may be singular (all of it with w0 = 0; in some directions with fewer
        rows behind G than dimensions). A floor far below the rest then takes the place of a ridge that goes to 0, and
        directions that the fixed side does not have at all get none of the solution. The result is the least-norm
        solution, and never an abort.
        """
        greatest = self.eigenvalues[-1]
        floor = max(1e-6 * w0 * greatest, 1e-4 * greatest / max(rows, 1) if w0 == 0 else 0.0, 1e-30)
        diagonal = w0 * self.eigenvalues
        absent = (self.eigenvalues <= 1e-7 * greatest) & (diagonal + least_regularization < floor)
        safe = np.where(absent, 1e30, np.maximum(diagonal, floor - least_regularization))
        return safe.astype(np.float32), diagonal.astype(np.float32)


def gramian(table: np.ndarray) -> np.ndarray:
    """Return V'V as float64 [k, k], of a float32 [n, k] table."""

    def partial_sum(start: int) -> np.ndarray:
        total = np.zeros((table.shape[1], table.shape[1]))
        for block in blocks_of(table[start : start + stretch]):
            total += block.T @ block
        return total

    # A few stretches whatever the machine: each has its own sum, and the order of addition is the same everywhere.
    stretch = max(BLOCK, -(-len(table) // 8))
    return sum(threads.each(partial_sum, range(0, len(table), stretch)), np.zeros((table.shape[1],) * 2))


def rotate(table: np.ndarray, vectors: np.ndarray, selected: np.ndarray | None = None) -> None:
    """Replace a table by table @ vectors, in place; vectors [k, k]; selected: bool [n], the rows to rotate, or None."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    rows = None if selected is None or selected.all() else np.flatnonzero(selected)
    count = len(table if rows is None else rows)
    stretch = max(BLOCK, -(-count // 64))  # one task per block would cost half as much as the rotation

    def rotate_stretch(start: int) -> None:
        for first in range(start, min(start + stretch, count), BLOCK):
            part = slice(first, min(first + BLOCK, start + stretch, count))
            index = part if rows is None else rows[part]
            table[index] = table[index] @ vectors

    threads.each(rotate_stretch, range(0, count, stretch))


def blocks_of(table: np.ndarray) -> list[np.ndarray]:
    """Return a table as views of at most BLOCK rows."""
    return [table[start : start + BLOCK] for start in range(0, len(table), BLOCK)]
