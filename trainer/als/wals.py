"""Weighted alternating least squares.

    L = sum_ij W_ij (A_ij - u_i . v_j)^2 + sum_i lambda_i ||u_i||^2 + sum_j lambda_j ||v_j||^2
    W_ij = w0 + R_i C_j E_ij    where (i, j) is observed, that is, present in the data (also with the value 0)
    W_ij = w0, A_ij = 0         elsewhere
    lambda_i = lambda (|obs_i| + w0 m)^nu for a row, lambda_j = lambda (|obs_j| + w0 n)^nu for a column

(Hu, Koren & Volinsky 2008 with the weights of tf.contrib.factorization; nu: Rendle et al. 2021, arXiv 2110.14037.)
With the columns fixed, each row has the solution

    (w0 G + lambda_i I + sum_obs R_i C_j E_ij v_j v_j') u_i = sum_obs (w0 + R_i C_j E_ij) A_ij v_j,    G = V'V

and the rows I that were just solved have the loss, over all cells without visiting them,

    w0 [ sum_obs (a - p)^2 - sum_obs p^2 + trace(U_I'U_I G) ] + sum_obs R_i C_j E_ij (a - p)^2,    p = u_i . v_j.

A sweep solves one side, a pass both. Users, items and fold-in are the same `solve` with other arguments. It works in
the basis Q of G = Q diag(l) Q' (see `basis`): the loss does not change when both tables are rotated by Q, and
w0 G + lambda_i I becomes a diagonal, for all rows at once and for any lambda_i. So a row costs what its entries cost: a
system of size min(entries, k) for the exact solution (see `kernels`), never k^3 per row.

Tables are float32 [n, k]; Gramians and sums of the loss are float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.fold_in import Objective
from trainer.als.basis import BLOCK, Basis, blocks_of, gramian, rotate
from trainer.als.batches import Batches
from trainer.als.collectives import Cluster
from trainer.als.kernels.rows import RowSystems
from trainer.als.long_rows import LongRow
from trainer.als.solver import Solver

_FACTORS, _MORE_FACTORS, _MANY_ITEMS = 128, 256, 10_000  # chosen on nine data sets: benchmarks/results/defaults.json


@dataclass
class Side:
    """The rows, or the columns, of the factorisation that this process owns."""

    table: np.ndarray  # float32 [n_own, k], the factors; changed in place
    counts: np.ndarray  # int64 [n_own], observed entries of each row
    weights: np.ndarray  # float32 [n_own], R of the rows (C of the columns)
    size: int  # n, over all processes


@dataclass(frozen=True)
class Loss:
    """The loss after a sweep."""

    total: float  # regularised
    unregularized: float  # as RWSE takes it
    weight: float  # the sum of all cells' weights

    @property
    def rwse(self) -> float:
        """Root of the weighted squared error: sqrt(unregularised loss / sum of weights)."""
        return float(np.sqrt(max(self.unregularized, 0.0) / self.weight)) if self.weight > 0 else 0.0


def dimension(given: int | Literal["auto"], items: int) -> int:
    """Return k. The automatic one is 128, and 256 for more than 10,000 items, which few factors cannot describe."""
    if given != "auto":
        return given
    return _MORE_FACTORS if items > _MANY_ITEMS else _FACTORS


def regularization(counts: np.ndarray, others: int, objective: Objective) -> np.ndarray:
    """Return lambda_i = lambda (|obs_i| + w0 others)^nu as float32 [n].

    An empty row with w0 = 0 counts as one observation.
    """
    if objective.frequency_exponent == 0:
        return np.full(len(counts), objective.regularization_coeff, np.float32)
    frequency = counts + objective.unobserved_weight * others
    frequency = np.where(frequency > 0, frequency, 1.0)
    return (objective.regularization_coeff * frequency**objective.frequency_exponent).astype(np.float32)


def penalty(side: Side, others: int, objective: Objective) -> float:
    """Return sum_i lambda_i ||u_i||^2 over the rows of this process."""
    ridges, total = regularization(side.counts, others, objective), 0.0
    for number, block in enumerate(blocks_of(side.table)):
        total += float(ridges[number * BLOCK : (number + 1) * BLOCK] @ np.einsum("ij,ij->i", block, block))
    return total


def shared_basis(fixed: Side, cluster: Cluster) -> Basis:
    """Return the basis of a side's Gramian, the same in all processes."""
    basis = Basis.of(cluster.sum(gramian(fixed.table)))
    # Each process would find the eigenvectors up to sign only.
    return Basis(cluster.broadcast(basis.vectors), cluster.broadcast(basis.eigenvalues))


def solve(batches: Batches, side: Side, fixed: Side, basis: Basis, objective: Objective) -> np.ndarray:
    """Solve the rows of the batches into side.table; both tables are in the basis.

    Return float64 [3]: the rows' unregularised loss, their regularisation, and their sum of R C E.
    """
    w0, k = objective.unobserved_weight, fixed.table.shape[1]
    ridges = regularization(side.counts, fixed.size, objective)
    safe_diagonal, diagonal = basis.diagonals(w0, objective.regularization_coeff, fixed.size)
    side.table[side.counts == 0] = 0
    sums, long_row = np.zeros(3), None
    for batch in batches:
        table, weights = batches.cluster.gather(batch.columns, fixed.table, fixed.weights)
        systems = RowSystems(side.weights, ridges, weights, table, safe_diagonal, diagonal, np.float32(w0))
        rows = batch.plan.rows
        if len(rows) != 1 or rows.entries == side.counts[rows.keys[0]]:
            sums += batch.plan.solve(systems, side.table)
            continue
        long_row = long_row or LongRow(int(rows.keys[0]), k)
        long_row.add(rows, systems)
        if long_row.entries == side.counts[long_row.key]:
            side.table[long_row.key], row_sums = long_row.solve(systems)
            sums, long_row = sums + row_sums, None
    if batches.solver.table_dtype == "bfloat16":
        _round(side.table)
    return sums


def _round(table: np.ndarray) -> None:
    """Round each factor to the nearest bfloat16, in place."""
    from ml_dtypes import bfloat16

    for block in blocks_of(table):
        block[:] = block.astype(bfloat16)


def sweep(batches: Batches, side: Side, fixed: Side, objective: Objective) -> tuple[Loss, np.ndarray]:
    """Solve one side with the other fixed; leave both tables in the basis of the fixed side's Gramian.

    batches: the side's rows; each row is in one batch, or in consecutive ones. Return the loss, and the basis's
    vectors: float64 [k, k], the change of both tables' coordinates.
    """
    cluster, k = batches.cluster, side.table.shape[1]
    basis = shared_basis(fixed, cluster)
    rotate(fixed.table, basis.vectors)
    rotate(side.table, basis.vectors, batches.solver.starts_warm(side.counts, k))
    sums = solve(batches, side, fixed, basis, objective)
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
    """Fold rows in: return their solution with the fixed side as it is now, which is not changed, and their loss.

    Args:
        rows: keyed 0 .. n - 1; a key without entries projects to zeros.
        weights: float32 [n], R of the rows (the caller's projection_weights).
        rows_trained_on: size of the rows' own side in training; only the regularisation of the columns depends on it.

    The solution is float32 [n, k] in the coordinates of fixed.table; the loss has the fixed side's regularisation.
    """
    basis = Basis.of(gramian(fixed.table))
    rotated = Side(fixed.table.copy(), fixed.counts, fixed.weights, fixed.size)
    rotate(rotated.table, basis.vectors)
    count, k = len(weights), fixed.table.shape[1]
    own = Side(np.zeros((count, k), np.float32), rows.counts(count), weights, count)
    fit, regularized, weight = solve(Batches([rows], k, solver), own, rotated, basis, objective)
    rotate(own.table, basis.vectors.T)
    regularized += penalty(fixed, rows_trained_on, objective)
    cells = objective.unobserved_weight * count * fixed.size
    return own.table, Loss(float(fit + regularized), float(fit), float(cells + weight))
