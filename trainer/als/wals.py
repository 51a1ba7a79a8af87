"""Weighted alternating least squares.

    L = sum_ij W_ij (A_ij - u_i . v_j)^2 + sum_i lambda_i ||u_i||^2 + sum_j lambda_j ||v_j||^2
    W_ij = w0 + R_i C_j E_ij    where (i, j) is observed, that is, present in the data (also with the value 0)
    W_ij = w0, A_ij = 0         elsewhere
    lambda_i = lambda (|obs_i| + w0 m)^nu for a row, lambda_j = lambda (|obs_j| + w0 n)^nu for a column

(Hu, Koren & Volinsky 2008 with the weights of tf.contrib.factorization; nu: Rendle et al. 2021, arXiv 2110.14037.)
With the columns fixed, each row has the solution

    (w0 G + lambda_i I + sum_obs R_i C_j E_ij v_j v_j') u_i = sum_obs (w0 + R_i C_j E_ij) A_ij v_j,    G = V'V

and the rows I just solved have the loss, over all cells without touching them,

    w0 [ sum_obs (a - p)^2 - sum_obs p^2 + trace(U_I'U_I G) ] + sum_obs R_i C_j E_ij (a - p)^2,    p = u_i . v_j.

A sweep solves one side, a pass both. The sides differ only by what is passed: users, items and fold-in are the same
`solve`. It works in the basis Q of G = Q diag(l) Q': the loss does not change when both tables are rotated alike, and
w0 G + lambda_i I becomes a diagonal, for all rows at once and whatever lambda_i is. So a row costs what its entries
cost: a system of size min(entries, k) for the exact solution (see `row_solvers`), never k^3 a row.

Tables are float32 [n, k]; Gramians and sums of the loss are float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ranking.fold_in import Objective
from ranking.sparse_rows import SparseRows
from trainer.als import parallel
from trainer.als.collectives import Alone, Cluster
from trainer.als.long_rows import LongRow
from trainer.als.solver import Solver

# Rows multiplied at once: their products stay in the cache, and their float32 sums short.
_BLOCK = 1024


@dataclass
class Side:
    """The rows (or the columns) of the factorisation, as far as this process owns them.

    Attributes:
        table: float32 [n_own, k], the factors; changed in place.
        counts: int64 [n_own], observed entries of each row.
        weights: float32 [n_own], R of the rows (C of the columns).
        size: n, over all processes.
    """

    table: np.ndarray
    counts: np.ndarray
    weights: np.ndarray
    size: int


@dataclass(frozen=True)
class Loss:
    """What a sweep leaves: `total` regularised, `unregularized` as RWSE takes it, the sum of all weights."""

    total: float
    unregularized: float
    weight: float

    @property
    def rwse(self) -> float:
        """Root of the weighted squared error: sqrt(unregularised loss / sum of weights)."""
        return float(np.sqrt(max(self.unregularized, 0.0) / self.weight)) if self.weight > 0 else 0.0


@dataclass(frozen=True)
class Basis:
    """The eigenvectors of a Gramian, and what solving in them needs.

    Attributes:
        vectors: float64 [k, k], orthogonal; column d belongs to eigenvalue d.
        eigenvalues: float64 [k], none below 0.
    """

    vectors: np.ndarray
    eigenvalues: np.ndarray

    @classmethod
    def of(cls, gramian: np.ndarray) -> Basis:
        """The basis of a float64 [k, k] Gramian."""
        with parallel.blas_threads(parallel.cores() if len(gramian) > 512 else 1):
            eigenvalues, vectors = np.linalg.eigh(gramian)
        return cls(vectors, np.maximum(eigenvalues, 0.0))

    def shared(self, w0: float, least_regularization: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """w0 times the eigenvalues, kept away from 0, and as they are: float32 [k] each.

        Without regularisation w0 G + lambda I may be singular (all of it with w0 = 0; in some directions with fewer
        rows behind G than dimensions). A floor far below the rest then stands in for the ridge that goes to 0, and
        directions that the fixed side does not have at all get none of the solution: the least-norm solution comes
        out, and never an abort.
        """
        greatest = self.eigenvalues[-1]
        floor = max(1e-6 * w0 * greatest, 1e-4 * greatest / max(rows, 1) if w0 == 0 else 0.0, 1e-30)
        diagonal = w0 * self.eigenvalues
        absent = (self.eigenvalues <= 1e-7 * greatest) & (diagonal + least_regularization < floor)
        safe = np.where(absent, 1e30, np.maximum(diagonal, floor - least_regularization))
        return safe.astype(np.float32), diagonal.astype(np.float32)


def gramian(table: np.ndarray) -> np.ndarray:
    """V'V as float64 [k, k], of a float32 [n, k] table."""

    def part(start: int) -> np.ndarray:
        total = np.zeros((table.shape[1], table.shape[1]))
        for block in _blocks(table[start : start + stretch]):
            total += block.T @ block
        return total

    # A few stretches whatever the machine: each has a sum of its own, and the same order of adding everywhere.
    stretch = max(_BLOCK, -(-len(table) // 8))
    return sum(parallel.each(part, range(0, len(table), stretch)), np.zeros((table.shape[1],) * 2))


def rotate(table: np.ndarray, vectors: np.ndarray, which: np.ndarray | None = None) -> None:
    """table <- table vectors, in place; vectors [k, k]; bool [n]: which rows, None for all."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    rows = None if which is None or which.all() else np.flatnonzero(which)
    count = len(table if rows is None else rows)
    stretch = max(_BLOCK, -(-count // 64))  # handing out every block would cost half as much as turning them

    def turn(start: int) -> None:
        for first in range(start, min(start + stretch, count), _BLOCK):
            part = slice(first, min(first + _BLOCK, start + stretch, count))
            where = part if rows is None else rows[part]
            table[where] = table[where] @ vectors

    parallel.each(turn, range(0, count, stretch))


def _blocks(table: np.ndarray) -> list[np.ndarray]:
    return [table[start : start + _BLOCK] for start in range(0, len(table), _BLOCK)]


def regularization(counts: np.ndarray, others: int, objective: Objective) -> np.ndarray:
    """lambda_i = lambda (|obs_i| + w0 others)^nu as float32 [n]; an empty row with w0 = 0 counts one observation."""
    if objective.frequency_exponent == 0:
        return np.full(len(counts), objective.regularization_coeff, np.float32)
    frequency = counts + objective.unobserved_weight * others
    frequency = np.where(frequency > 0, frequency, 1.0)
    return (objective.regularization_coeff * frequency**objective.frequency_exponent).astype(np.float32)


def penalty(side: Side, others: int, objective: Objective) -> float:
    """sum_i lambda_i ||u_i||^2 over the rows of this process."""
    coefficients, total = regularization(side.counts, others, objective), 0.0
    for start in range(0, len(side.table), _BLOCK):
        block = side.table[start : start + _BLOCK]
        total += float(coefficients[start : start + _BLOCK] @ np.einsum("ij,ij->i", block, block))
    return total


def solve(
    blocks: Iterable[SparseRows],
    side: Side,
    fixed: Side,
    basis: Basis,
    objective: Objective,
    solver: Solver,
    cluster: Cluster,
) -> np.ndarray:
    """Solves the rows of the blocks into side.table, the tables being in the basis.

    Returns:
        float64 [3]: the rows' unregularised loss, their regularisation, and their sum of R C E.
    """
    coefficients = regularization(side.counts, fixed.size, objective)
    shared = basis.shared(objective.unobserved_weight, objective.regularization_coeff, fixed.size)
    side.table[side.counts == 0] = 0
    sums, k, w0, long = np.zeros(3), fixed.table.shape[1], objective.unobserved_weight, None
    for block in cluster.together(_batches(blocks, cluster.batch_entries(k))):
        rows, table, weights = cluster.gather(block, fixed.table, fixed.weights)
        if len(rows) != 1 or rows.entries == side.counts[rows.keys[0]]:
            sums += solver.solve(rows, (side.weights, coefficients, weights, table), shared, w0, side.table)
            continue
        key, long = int(rows.keys[0]), long or LongRow(k, w0)
        long.add(rows, float(side.weights[key]), weights, table)
        if long.entries == side.counts[key]:
            side.table[key], found = long.solve(shared, float(coefficients[key]))
            sums, long = sums + found, None
    if solver.table_dtype == "bfloat16":
        _round(side.table)
    return sums


def _batches(blocks: Iterable[SparseRows], entries: int | None) -> Iterator[SparseRows]:
    """The blocks, cut to so many entries, the pieces of a longer row one after the other; kept with the blocks."""
    for block in blocks:
        if entries is None:
            yield block
        else:
            yield from block.__dict__.setdefault(f"_pieces_{entries}", list(block.pieces(entries)))


def _round(table: np.ndarray) -> None:
    """The nearest bfloat16 of each factor, in place."""
    from ml_dtypes import bfloat16  # comes with TensorFlow

    for block in _blocks(table):
        block[:] = block.astype(bfloat16)


def sweep(
    blocks: Iterable[SparseRows],
    side: Side,
    fixed: Side,
    objective: Objective,
    solver: Solver,
    cluster: Cluster | None = None,
) -> tuple[Loss, np.ndarray]:
    """Solves one side with the other fixed; leaves both tables in the basis of the fixed side's Gramian.

    Args:
        blocks: the side's rows; each row is in one block.

    Returns:
        The loss, and the basis's vectors: float64 [k, k], the change of both tables' coordinates.
    """
    cluster = cluster or Alone()
    basis = cluster.same(Basis.of(cluster.sum(gramian(fixed.table))))
    rotate(fixed.table, basis.vectors)
    rotate(side.table, basis.vectors, solver.starts_warm(side.counts, side.table.shape[1]))
    sums = solve(blocks, side, fixed, basis, objective, solver, cluster)
    fit, own, weight, other = cluster.sum(np.append(sums, penalty(fixed, side.size, objective)))
    cells = objective.unobserved_weight * side.size * fixed.size
    return Loss(float(fit + own + other), float(fit), float(cells + weight)), basis.vectors


def project(
    rows: SparseRows,
    weights: np.ndarray,
    fixed: Side,
    rows_trained_on: int,
    objective: Objective,
    solver: Solver,
) -> tuple[np.ndarray, Loss]:
    """Folds rows in: their solution with the fixed side as it is now, which is not changed.

    Args:
        rows: keyed 0 .. n - 1; a key without entries projects to zeros.
        weights: float32 [n], R of the rows (the caller's projection_weights).
        rows_trained_on: size of the rows' own side in training; unused unless the loss of its columns is scaled.

    Returns:
        float32 [n, k] in the coordinates of fixed.table, and the loss of these rows with the fixed side's
        regularisation.
    """
    basis = Basis.of(gramian(fixed.table))
    turned = Side(fixed.table.copy(), fixed.counts, fixed.weights, fixed.size)
    rotate(turned.table, basis.vectors)
    count = len(weights)
    own = Side(np.zeros((count, fixed.table.shape[1]), np.float32), rows.counts(count), weights, count)
    fit, regularized, weight = solve([rows], own, turned, basis, objective, solver, Alone())
    rotate(own.table, basis.vectors.T)
    regularized += penalty(fixed, rows_trained_on, objective)
    cells = objective.unobserved_weight * count * fixed.size
    return own.table, Loss(float(fit + regularized), float(fit), float(cells + weight))
