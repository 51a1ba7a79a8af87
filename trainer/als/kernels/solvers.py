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


class _ExactBuffers(NamedTuple):
    """The working memory of a call, sized for its longest row."""

    by_entry: np.ndarray  # Z, of a row with at most k entries
    by_dimension: np.ndarray  # Z', of a longer one
    factor: np.ndarray
    gramian: np.ndarray


@pasted
def _exact_buffers(k, longest):
    width = (k + 15) // 16 * 16
    largest, piece = min(width, longest), min(longest, rows.PIECE)
    return _ExactBuffers(
        np.empty((largest, width), np.float32),
        np.empty((width if longest > k else 0, piece), np.float32),
        np.empty((largest, largest), np.float32),
        np.empty((largest, largest), np.float32),
    )


@pasted
def _solve_row(row, buffers, targets, t):
    """Write the solution of a row to t, which is zeros; the targets are overwritten."""
    count, k, width = len(row.columns), len(row.scale), len(t)
    short, pieces = count <= k, count > rows.PIECE and count > k
    if short:
        rows.gather(row, (count + 3) // 4 * 4, width, buffers.by_entry)
        z, right = buffers.by_entry, targets[:count]
    else:
        z, right, width = buffers.by_dimension, t[:k], (count + 15) // 16 * 16
        rows.add_normal_equations(row, targets, 0, z, buffers.gramian, right)
    factor_and_solve(z, 0 if pieces else width, buffers.gramian, pieces, buffers.factor, right)
    if short:
        for e in range(count):
            for d in range(len(t)):
                t[d] += targets[e] * z[e, d]


@compiled
def exact(entries, systems, positions, out):
    """Solve the rows at the positions exactly."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _exact_buffers(k, longest), np.zeros(3)
    roots, targets = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale = np.empty((k + 15) // 16 * 16, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, targets), sums)
        t[:] = 0
        _solve_row(row, buffers, targets, t)
        rows.finish(systems, row, t, targets, False, out[row.key], sums)
    return sums


class _GradientBuffers(NamedTuple):
    """The working memory of a call, sized for its longest row."""

    z: np.ndarray
    targets: np.ndarray  # r
    zeros: np.ndarray
    products: np.ndarray  # Z t
    changes: np.ndarray  # Z direction
    t: np.ndarray
    residual: np.ndarray
    direction: np.ndarray
    image: np.ndarray  # (I + Z'Z) direction


@pasted
def _gradient_buffers(k, longest):
    width = (k + 15) // 16 * 16
    return _GradientBuffers(
        np.empty((min(longest, max(rows.PIECE, KEPT // width)), width), np.float32),
        np.empty(longest, np.float32),
        np.zeros(longest, np.float32),
        np.empty(longest, np.float32),
        np.empty(longest, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )


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
def _improve(row, buffers, steps):
    """Take `steps` steps from buffers.t; leave buffers.products = Z t."""
    count, width = len(row.columns), len(buffers.t)
    t, residual, direction, image = buffers.t, buffers.residual, buffers.direction, buffers.image
    if count <= len(buffers.z):
        rows.gather(row, count, width, buffers.z)
    _residual(row, buffers.z, buffers.targets, t, buffers.products, residual)
    norm = np.float32(0)
    for d in range(width):
        residual[d] -= t[d]
        direction[d] = residual[d]
        norm += residual[d] * residual[d]
    enough = np.float32(1e-13) * norm
    for _ in range(steps):
        if norm <= enough:
            break
        _residual(row, buffers.z, buffers.zeros, direction, buffers.changes, image)
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
            buffers.products[e] += step * buffers.changes[e]


@compiled
def conjugate_gradient(entries, systems, steps, positions, out):
    """Improve the rows at the positions by `steps` steps from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _gradient_buffers(k, longest), np.zeros(3)
    roots, scale = np.empty(longest, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, buffers.targets), sums)
        rows.start_from(out[row.key], scale, buffers.t)
        _improve(row, buffers, steps)
        rows.finish(systems, row, buffers.t, buffers.products, True, out[row.key], sums)
    return sums


class _BlockBuffers(NamedTuple):
    """The working memory of a call, sized for its longest row."""

    z: np.ndarray  # Z_B'
    right: np.ndarray
    factor: np.ndarray
    gramian: np.ndarray


@pasted
def _block_buffers(block, longest):
    padded = (block + 15) // 16 * 16
    return _BlockBuffers(
        np.empty((padded, min(longest, rows.PIECE)), np.float32),
        np.empty(block, np.float32),
        np.empty((padded, padded), np.float32),
        np.empty((padded, padded), np.float32),
    )


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


@pasted
def _improve_block(row, buffers, start, t, residuals):
    """Solve (I + Z_B'Z_B) step = Z_B'(r - Z t) - t_B, and take the step; t is t_B, residuals are r - Z t."""
    size, count = len(t), len(row.columns)
    pieces, right = count > rows.PIECE, buffers.right[:size]
    for d in range(size):
        right[d] = -t[d]
    rows.add_normal_equations(row, residuals, start, buffers.z, buffers.gramian, right)
    width = 0 if pieces else (count + 15) // 16 * 16
    factor_and_solve(buffers.z, width, buffers.gramian, pieces, buffers.factor, right)
    for d in range(size):
        t[d] += right[d]
    _subtract_block(row, start, right, buffers.z, residuals)


@compiled
def block_descent(entries, systems, block, positions, out):
    """Improve the rows at the positions block by block, of `block` dimensions, from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _block_buffers(min(block, k), longest), np.zeros(3)
    roots, residuals = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale = np.empty(k, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, (roots, scale, residuals), sums)
        rows.start_from(out[row.key], scale, t)
        _subtract_predictions(row, out[row.key], residuals)
        for start in range(0, k, min(block, k)):
            _improve_block(row, buffers, start, t[start : start + min(block, k)], residuals)
        rows.finish(systems, row, t, residuals, False, out[row.key], sums)
    return sums
