"""Fold-in: a visitor's factors from the visitor's ratings, with the items' factors as they are.

It solves what WALS's sweep over users solves (docs/wals.md); the sums are over the n_i items that visitor i has:

    (w0 G + lambda_i I + R_i sum C_j E_j v_j v_j') u_i = sum (w0 + R_i C_j E_j) a_j v_j,    G = V'V,
    lambda_i = lambda (n_i + w0 m)^nu

In the basis Q of G = Q diag(l) Q' the part that all rows share is the diagonal D_i = w0 l + lambda_i. With
Y = V Q D_i^(-1/2), of the row's items only, W = R_i C E and r = (w0 + W) a, the answer is u = Q D_i^(-1/2) t, with t
from the smaller of two systems:

    t = Y' h,  (Y Y' + W^-1) h = W^-1 r    of n_i numbers;        (I + Y' W Y) t = Y' r    of d numbers.

All arithmetic is float64, so that the rounded answer is the one that the SavedModel's graph computes by another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.heap import FAST

_ROWS = 256  # of a piece of work
_BLOCK = 4096  # rows of a product


@dataclass(frozen=True)
class Objective:
    """The constants of the loss, by TensorFlow 1's names; frequency_exponent is nu."""

    unobserved_weight: float = 0.1
    regularization_coeff: float = 0.0
    frequency_exponent: float = 0.0


class _System(NamedTuple):
    """Rows to solve, as the kernels read them."""

    starts: np.ndarray  # int64 [b + 1]
    columns: np.ndarray  # int64 [nnz], rows of `table`
    ratings: np.ndarray  # float32 [nnz]
    entry_weights: np.ndarray  # float32 [nnz], E
    row_weights: np.ndarray  # float64 [b], R
    ridges: np.ndarray  # float64 [b], lambda_i
    table: np.ndarray  # float64 [m', d], the factors of the items that the rows have, in the basis
    weights: np.ndarray  # float64 [m'], C
    shared: np.ndarray  # float64 [d], w0 l
    w0: float  # the weight of what was not observed


class _Scratch(NamedTuple):
    """Memory that the kernels use again for each row: the system's left and right side, D^(-1/2), and Y."""

    left: np.ndarray
    right: np.ndarray
    scale: np.ndarray
    y: np.ndarray


class Projection:
    """Solves rows on a table of items.

    Attributes:
        items: float32 [m, d]. weights: float64 [m], C. objective: the constants of the loss.
        gramian: float64 [d, d], G. basis: float64 [d, d], Q. shared: float64 [d], w0 l.
        floor: is added to each lambda_i; so small that it only matters if the system is singular.
    """

    def __init__(self, items: np.ndarray, weights: np.ndarray, objective: Objective, gramian: np.ndarray | None = None):
        """Prepare the system; gramian: G, if it was computed before."""
        self.items, self.weights, self.objective = items, weights.astype(np.float64, copy=False), objective
        self.gramian = _gramian(items) if gramian is None else gramian
        eigenvalues, self.basis = np.linalg.eigh(self.gramian)
        self.shared = objective.unobserved_weight * np.maximum(eigenvalues, 0)
        self.floor = max(1e-10 * float(np.trace(self.gramian)) / len(self.gramian), 1e-30)

    def solve(self, rows: SparseRows, row_weights: np.ndarray) -> np.ndarray:
        """Return the factors float32 [b, d] of b rows with the weights R float32 [b]; zeros for an empty row."""
        used, columns = np.unique(rows.indices, return_inverse=True)
        table = np.empty((len(used), self.items.shape[1]))
        in_basis = np.zeros((len(rows), self.items.shape[1]))
        factors = np.empty(in_basis.shape, np.float32)
        system = _System(
            starts=rows.indptr,
            columns=columns,
            ratings=rows.values,
            entry_weights=rows.entry_weights,
            row_weights=row_weights.astype(np.float64),
            ridges=self.ridges(rows.lengths),
            table=table,
            weights=self.weights[used],
            shared=self.shared,
            w0=float(self.objective.unobserved_weight),
        )

        def turn(start: int) -> None:
            part = slice(start, start + _ROWS)
            np.matmul(self.items[used[part]].astype(np.float64), self.basis, out=table[part])

        def solve_piece(start: int) -> None:
            stop = min(start + _ROWS, len(rows))
            _solve_rows(start, stop, system, in_basis)
            factors[start:stop] = in_basis[start:stop] @ self.basis.T

        threads.each(turn, range(0, len(used), _ROWS))
        threads.each(solve_piece, range(0, len(rows), _ROWS))
        return factors

    def ridges(self, counts: np.ndarray) -> np.ndarray:
        """Return lambda_i float64 [b] of rows with so many entries."""
        objective = self.objective
        frequency = np.maximum(counts + objective.unobserved_weight * len(self.items), 1e-30)
        return objective.regularization_coeff * frequency**objective.frequency_exponent + self.floor


def _gramian(items: np.ndarray) -> np.ndarray:
    def partial_sum(start: int) -> np.ndarray:
        total = np.zeros((items.shape[1],) * 2)
        for first in range(start, min(start + stretch, len(items)), _BLOCK):
            block = items[first : min(first + _BLOCK, start + stretch)].astype(np.float64)
            total += block.T @ block
        return total

    # A few stretches whatever the machine: each has its own sum, and the order of addition is the same everywhere.
    stretch = max(_BLOCK, -(-len(items) // 8))
    return sum(threads.each(partial_sum, range(0, len(items), stretch)), np.zeros((items.shape[1],) * 2))


@numba.njit(**FAST)
def _solve_rows(first, stop, system, out):
    """Set out[row] = D^(-1/2) t, in the basis, of the rows first .. stop - 1."""
    d, longest = system.table.shape[1], 0
    for row in range(first, stop):
        longest = max(longest, system.starts[row + 1] - system.starts[row])
    size = min(longest, d)
    scratch = _Scratch(np.empty((size, size)), np.empty(max(size, 1)), np.empty(d), np.empty((size, d)))
    for row in range(first, stop):
        n = system.starts[row + 1] - system.starts[row]
        if n == 0:
            continue
        for c in range(d):
            scratch.scale[c] = 1 / np.sqrt(system.shared[c] + system.ridges[row])
        if n < d:
            _by_entries(row, system, scratch, out[row])
        else:
            _by_dimensions(row, system, scratch, out[row])


@numba.njit(**FAST)
def _by_entries(row, system, scratch, out):
    """Solve (I + Z Z') g = W^(-1/2) r with Z = W^(1/2) Y; then t = Z' g."""
    low, n, d = system.starts[row], system.starts[row + 1] - system.starts[row], len(out)
    left, right, scale, y = scratch
    w0, row_weight = system.w0, system.row_weights[row]
    for e in range(n):
        column = system.columns[low + e]
        own = row_weight * system.weights[column] * system.entry_weights[low + e]
        weight = max(own, 1e-12 * w0 + 1e-30)  # an entry of weight 0 stays in the system
        root = np.sqrt(weight)
        right[e] = (w0 + own) * system.ratings[low + e] / root
        for c in range(d):
            y[e, c] = root * scale[c] * system.table[column, c]
    for e in range(n):
        for f in range(e + 1):
            total = 0.0
            for c in range(d):
                total += y[e, c] * y[f, c]
            left[e, f] = total
        left[e, e] += 1
    _factor_and_solve(left, right, n)
    for c in range(d):
        out[c] = 0
    for e in range(n):
        for c in range(d):
            out[c] += right[e] * y[e, c]
    for c in range(d):
        out[c] *= scale[c]


@numba.njit(**FAST)
def _by_dimensions(row, system, scratch, out):
    """Solve (I + Y' W Y) t = Y' r."""
    d = len(out)
    left, right, scale, _ = scratch
    for c in range(d):
        right[c] = 0
        for f in range(c + 1):
            left[c, f] = 0
        left[c, c] = 1
    for entry in range(system.starts[row], system.starts[row + 1]):
        column = system.columns[entry]
        weight = system.row_weights[row] * system.weights[column] * system.entry_weights[entry]
        target = (system.w0 + weight) * system.ratings[entry]
        for c in range(d):
            out[c] = scale[c] * system.table[column, c]
        for c in range(d):
            right[c] += target * out[c]
            product = weight * out[c]
            for f in range(c + 1):
                left[c, f] += product * out[f]
    _factor_and_solve(left, right, d)
    for c in range(d):
        out[c] = scale[c] * right[c]


@numba.njit(**FAST)
def _factor_and_solve(left, right, n):
    """Set right = left^-1 right by Cholesky's factor in the lower triangle; no eigenvalue is below 1."""
    for i in range(n):
        for j in range(i + 1):
            total = left[i, j]
            for c in range(j):
                total -= left[i, c] * left[j, c]
            left[i, j] = np.sqrt(total) if i == j else total / left[j, j]
    for i in range(n):
        total = right[i]
        for c in range(i):
            total -= left[i, c] * right[c]
        right[i] = total / left[i, i]
    for i in range(n - 1, -1, -1):
        right[i] /= left[i, i]
        for c in range(i):
            right[c] -= right[i] * left[i, c]
