"""The three solvers of a row's system on the CPU, compiled by Numba.

All work in the basis that diagonalises the fixed side's Gramian (`trainer.als.basis`). There the part of the system
that all rows share, w0 G + lambda_i I, is the diagonal D_i, and with

    Z = W^(1/2) V D^(-1/2),    t = D^(1/2) u,    r = W^(-1/2) (w0 + W) a     (the row's entries only)

the row solve of `trainer.als.wals` becomes  (I + Z'Z) t = Z' r.  From it:

- `exact`: t = Z' (I + Z Z')^-1 r for a row with at most k entries, a system of the size of the row, not of k;
  (I + Z'Z)^-1 Z' r for a longer row;
- `conjugate_gradient` on (I + Z'Z): the shared part needs no k x k product, and D is already the preconditioner;
- `block_descent` (iALS++, arXiv 2110.14044): exact in one block of t after the other; the products Z t are updated.

No eigenvalue of these matrices is below 1, so none of the solvers can fail, in float32 either.

Each solver takes `rows.Entries`, `rows.RowSystems`, positions of rows (int32) and the table `out` (float32 [n, k],
in the basis). It writes the solution of the row at a position into out[keys[position]]; the iterative solvers
start from the values in `out`. It returns float64 [3]: the rows' unregularised loss, regularisation, and sum of R C E.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.als.kernels import rows
from trainer.als.kernels.cholesky import factor_and_solve
from trainer.als.kernels.compiling import compiled, inner, pasted

# The most numbers of Z that are kept for all steps: 16 MB a thread. Each step gathers a longer row again.
KEPT = 1 << 22


class _Buffers(NamedTuple):
    """The working memory for the systems of a block of dimensions."""

    z: np.ndarray  # Z_B', of a row or of a piece of it
    right: np.ndarray
    factor: np.ndarray
    gramian: np.ndarray


@pasted
def _buffers(size, longest):
    padded = (size + 15) // 16 * 16
    return _Buffers(
        np.empty((padded, min(longest, rows.PIECE)), np.float32),
        np.empty(size, np.float32),
        np.empty((padded, padded), np.float32),
        np.empty((padded, padded), np.float32),
    )


@pasted
def _solve_by_entries(row, z, buffers, targets, t):
    """Write t = Z' (I + Z Z')^-1 r of a row with at most k entries; z becomes Z, the targets r are overwritten."""
    count, width = len(row.columns), len(t)
    rows.gather(row, (count + 3) // 4 * 4, width, z)
    factor_and_solve(z, width, buffers.gramian, False, buffers.factor, targets[:count])
    t[:] = 0
    for e in range(count):
        for d in range(width):
            t[d] += targets[e] * z[e, d]


@pasted
def _solve_block(row, buffers, start, t, residuals):
    """Solve (I + Z_B'Z_B) step = Z_B'(r - Z t) - t_B into buffers.right, and take the step.

    B are the dimensions from start; t is t_B, residuals are r - Z t; buffers.z becomes Z_B' if the row is one piece.
    """
    size, count = len(t), len(row.columns)
    pieces, right = count > rows.PIECE, buffers.right[:size]
    for d in range(size):
        right[d] = -t[d]
    rows.add_normal_equations(row, residuals, start, buffers.z, buffers.gramian, right)
    width = 0 if pieces else (count + 15) // 16 * 16
    factor_and_solve(buffers.z, width, buffers.gramian, pieces, buffers.factor, right)
    for d in range(size):
        t[d] += right[d]


@compiled
def exact(entries, systems, positions, out):
    """Solve the rows at the positions exactly."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _buffers(k, longest), np.zeros(3)
    roots, targets, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(k, np.float32)
    t = np.empty((k + 15) // 16 * 16, np.float32)
    z = np.empty((min(len(t), longest), len(t)), np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, targets), sums)
        if len(row.columns) <= k:
            _solve_by_entries(row, z, buffers, targets, t)
        else:
            t[:] = 0
            _solve_block(row, buffers, 0, t[:k], targets)
        rows.finish(systems, row, t, targets, False, out[row.key], sums)
    return sums


@inner
def _residual(row, z, targets, x, products, out):
    """Write products = Z x and out = Z' (targets - Z x); a row longer than z is gathered piece by piece."""
    count, width, piece = len(row.columns), len(x), len(z)
    for d in range(width):
        out[d] = 0
    for first in range(0, count, piece):
        last = min(first + piece, count)
        if count > piece:
            rows.gather(rows.piece_of(row, first, last), last - first, width, z)
        for e in range(last - first):
            y = np.float32(0)
            for d in range(width):
                y += z[e, d] * x[d]
            products[first + e] = y
            y = targets[first + e] - y
            for d in range(width):
                out[d] += y * z[e, d]


@pasted
def _improve(row, z, targets, steps, t, products):
    """Take `steps` steps from t, and leave products = Z t; z is working memory."""
    count, width = len(row.columns), len(t)
    residual, direction, image = np.empty_like(t), np.empty_like(t), np.empty_like(t)  # image: (I + Z'Z) direction
    zeros, changes = np.zeros(count, np.float32), np.empty(count, np.float32)  # changes: Z direction
    if count <= len(z):
        rows.gather(row, count, width, z)
    _residual(row, z, targets, t, products, residual)
    norm = np.float32(0)
    for d in range(width):
        residual[d] -= t[d]
        direction[d] = residual[d]
        norm += residual[d] * residual[d]
    enough = np.float32(1e-13) * norm
    for _ in range(steps):
        if norm <= enough:
            break
        _residual(row, z, zeros, direction, changes, image)
        curvature = np.float32(0)
        for d in range(width):
            image[d] = direction[d] - image[d]
            curvature += image[d] * direction[d]
        before, step, norm = norm, norm / curvature, np.float32(0)
        for d in range(width):
            t[d] += step * direction[d]
            residual[d] -= step * image[d]
            norm += residual[d] * residual[d]
        for d in range(width):
            direction[d] = residual[d] + norm / before * direction[d]
        for e in range(count):
            products[e] += step * changes[e]


@compiled
def conjugate_gradient(entries, systems, steps, positions, out):
    """Improve the rows at the positions by `steps` steps from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    roots, targets, products = (
        np.empty(longest, np.float32),
        np.empty(longest, np.float32),
        np.empty(longest, np.float32),
    )
    scale, t, sums = np.empty(k, np.float32), np.empty((k + 15) // 16 * 16, np.float32), np.zeros(3)
    z = np.empty((min(longest, max(rows.PIECE, KEPT // len(t))), len(t)), np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, targets), sums)
        rows.start_from(out[row.key], scale, t)
        _improve(row, z, targets, steps, t, products)
        rows.finish(systems, row, t, products, True, out[row.key], sums)
    return sums


@inner
def _subtract_predictions(row, u, residuals):
    """Subtract W^(1/2) V u from the residuals."""
    for e in range(len(row.columns)):
        j, p = row.columns[e], np.float32(0)
        for d in range(len(u)):
            p += u[d] * row.table[j, d]
        residuals[e] -= row.roots[e] * p


@inner
def _subtract_block(row, start, step, z, residuals):
    """Subtract Z_B step from the residuals, for the dimensions B from start; z is Z_B' if the row is one piece."""
    count, size = len(row.columns), len(step)
    for first in range(0, count, rows.PIECE):
        last = min(first + rows.PIECE, count)
        if count > rows.PIECE:
            rows.gather_transposed(rows.piece_of(row, first, last), start, size, size, z)
        for d in range(size):
            for e in range(last - first):
                residuals[first + e] -= step[d] * z[d, e]


@compiled
def block_descent(entries, systems, block, positions, out):
    """Improve the rows at the positions block by block, of `block` dimensions, from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _buffers(min(block, k), longest), np.zeros(3)
    roots, residuals = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale = np.empty(k, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, residuals), sums)
        rows.start_from(out[row.key], scale, t)
        _subtract_predictions(row, out[row.key], residuals)
        for start in range(0, k, min(block, k)):
            _solve_block(row, buffers, start, t[start : start + min(block, k)], residuals)
            _subtract_block(row, start, buffers.right[: min(block, k - start)], buffers.z, residuals)
        rows.finish(systems, row, t, residuals, False, out[row.key], sums)
    return sums
