"""The three solvers of a row's system on the CPU, compiled by Numba.

Everything here lives in the basis that diagonalises the fixed side's Gramian (`wals.Basis`). There the part of the
system that all rows share, w0 G + lambda_i I, is the diagonal D_i, and with

    Z = W^(1/2) V D^(-1/2),    t = D^(1/2) u,    r = W^(-1/2) (w0 + W) a     (the row's entries only)

the row solve of `wals` becomes  (I + Z'Z) t = Z' r.  From it:

- exact: t = Z' (I + Z Z')^-1 r for a row with at most k entries, a system of the size of the row, not of k;
  (I + Z'Z)^-1 Z' r for a longer one;
- conjugate gradient on (I + Z'Z): the shared part needs no k x k product, and D is already the preconditioner;
- block descent (iALS++, arXiv 2110.14044): exact in one block of t after the other, the products Z t carried along.

No eigenvalue of these matrices is below 1, so none of the solvers can fail, in float32 either.

All three take and give the same:
    data: (keys int64, indptr int64, indices int32, values float32, weights per entry float32 or empty);
    side: (row weights float32 by key, lambda_i float32 by key, column weights float32,
           the fixed side's table float32 [m, k] in the basis);
    shared: (float32 [k], w0 times the Gramian's eigenvalues kept away from 0, the same as they are);
    settings: (w0 float32, steps of conjugate gradient int, dimensions of a block int);
    rows: int32, positions in `data`, each of them solved into out[keys[row]];
    out: float32 [n, k] in the basis; the iterative solvers start from what it holds;
and return float64 [3]: the rows' unregularised loss, regularisation, and sum of R C E.
"""

from __future__ import annotations

import numpy as np

from trainer.kernels import add_gram, compiled, factor, solve_factored

# Entries handled at once: a longer row is gathered and summed piece by piece, so that no row is too long.
PIECE = 1024


@compiled
def _longest(rows, indptr):
    longest = 16
    for row in rows:
        longest = max(longest, indptr[row + 1] - indptr[row])
    return (longest + 15) // 16 * 16


@compiled
def _weigh(data, side, w0, row, roots, targets):
    """roots = W^(1/2) and targets = W^(-1/2) (w0 + W) a of a row's entries; returns sum W."""
    keys, indptr, indices, values, entry_weights = data
    # An entry of weight 0 keeps its place in the algebra with a weight too small to count.
    least, total, low = np.float32(1e-12) * w0 + np.float32(1e-30), 0.0, indptr[row]
    for e in range(indptr[row + 1] - low):
        w = side[0][keys[row]] * side[2][indices[low + e]]
        if len(entry_weights) > 0:
            w *= entry_weights[low + e]
        total += w
        roots[e] = np.sqrt(max(w, least))
        targets[e] = (w0 + w) * values[low + e] / roots[e]
    return total


@compiled
def _gather(table, indices, count, roots, scale, z):
    """Z of `count` entries as [entries, k]; the padding is zeros."""
    k = table.shape[1]
    for e in range(count):
        j, root = indices[e], roots[e]
        for d in range(k):
            z[e, d] = root * scale[d] * table[j, d]
        for d in range(k, z.shape[1]):
            z[e, d] = 0
    for e in range(count, z.shape[0]):
        for d in range(z.shape[1]):
            z[e, d] = 0


@compiled
def _gather_transposed(table, indices, count, roots, scale, start, width, z):
    """Z' of `count` entries for the dimensions start .. start + width, as [dimensions, entries], padded likewise."""
    for e in range(count):
        j, root = indices[e], roots[e]
        for d in range(width):
            z[d, e] = root * scale[start + d] * table[j, start + d]
    for d in range(z.shape[0]):
        for e in range(count if d < width else 0, z.shape[1]):
            z[d, e] = 0


@compiled
def _finish(data, side, shared, w0, row, t, scale, roots, u, sums):
    """u = D^(-1/2) t, and the row's share of the loss added to `sums`."""
    keys, indptr, indices, values, _ = data
    table = side[3]
    squares, fit = np.float32(0), np.float32(0)
    for d in range(len(u)):
        u[d] = t[d] * scale[d]
        squares += u[d] * u[d]
        fit += shared[1][d] * u[d] * u[d]
    for e in range(indptr[row + 1] - indptr[row]):
        a, j, p = values[indptr[row] + e], indices[indptr[row] + e], np.float32(0)
        for d in range(len(u)):
            p += u[d] * table[j, d]
        fit += w0 * a * (a - np.float32(2) * p) + roots[e] * roots[e] * (a - p) * (a - p)
    sums[0] += fit
    sums[1] += side[1][keys[row]] * squares


@compiled
def _normal_equations(table, entries, roots, targets, scale, start, width, z, g, right):
    """right += Z_B' targets for the block of dimensions; where the row is longer than a piece, g += Z_B' Z_B too.

    Otherwise z holds Z_B' when it returns, and g is left alone.
    """
    n = len(entries)
    for first in range(0, n, PIECE):
        count = min(PIECE, n - first)
        _gather_transposed(table, entries[first:], count, roots[first:], scale, start, width, z)
        for d in range(width):
            total = np.float32(0)
            for e in range(count):
                total += z[d, e] * targets[first + e]
            right[d] += total
        if n > PIECE:
            add_gram(z, z.shape[0], z.shape[1], g)


@compiled
def solve_exact(data, side, shared, settings, rows, out):
    """Solves rows exactly, each by a Cholesky factor of size min(entries, k)."""
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, k = side[3], settings[0], side[3].shape[1]
    width, longest = (k + 15) // 16 * 16, _longest(rows, indptr)
    largest = min(width, longest)
    space = np.empty(largest * max(width, min(longest, PIECE)), np.float32)
    s, g = np.empty((largest, largest), np.float32), np.empty((largest, largest), np.float32)
    roots, y, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(k, np.float32)
    t, sums = np.empty(width, np.float32), np.zeros(3)
    for row in rows:
        key, n = keys[row], indptr[row + 1] - indptr[row]
        entries = indices[indptr[row] : indptr[row + 1]]
        scale[:] = np.float32(1) / np.sqrt(shared[0] + side[1][key])
        sums[2] += _weigh(data, side, w0, row, roots, y)
        t[:] = 0
        wide, split = n <= k, n > max(k, PIECE)
        size = n if wide else k
        columns = width if wide else (min(n, PIECE) + 15) // 16 * 16
        z = space[: (size + 3) // 4 * 4 * columns].reshape((size + 3) // 4 * 4, columns)
        if wide:
            _gather(table, entries, n, roots, scale, z)
        else:
            g[:] = 0
            _normal_equations(table, entries, roots, y, scale, 0, k, z, g, t)
        factor(z, z.shape[0], 0 if split else columns, g, split, s)
        solve_factored(s, size, y if wide else t)
        if wide:
            for e in range(n):
                for d in range(width):
                    t[d] += y[e] * z[e, d]
        _finish(data, side, shared, w0, row, t, scale, roots, out[key], sums)
    return sums


@compiled
def _normal_product(table, entries, roots, scale, x, r, subtract, z, gathered, out):
    """out = Z'Z x, or Z'(r - Z x) where `subtract`; piece by piece, the pieces gathered unless z holds the only one."""
    n, width = len(entries), len(x)
    out[:] = 0
    for first in range(0, n, PIECE):
        count = min(PIECE, n - first)
        if not gathered:
            _gather(table, entries[first:], count, roots[first:], scale, z)
        for e in range(count):
            y = np.float32(0)
            for d in range(width):
                y += z[e, d] * x[d]
            if subtract:
                y = r[first + e] - y
            for d in range(width):
                out[d] += y * z[e, d]


@compiled
def _conjugate_gradient(table, entries, roots, targets, scale, steps, z, t, space):
    """`steps` of conjugate gradient on (I + Z'Z) t = Z' r, from the t given."""
    width, whole = len(t), len(entries) <= PIECE
    residual, direction, image = space[0], space[1], space[2]
    _normal_product(table, entries, roots, scale, t, targets, True, z, False, residual)
    norm = np.float32(0)
    for d in range(width):
        residual[d] -= t[d]
        direction[d] = residual[d]
        norm += residual[d] * residual[d]
    enough = np.float32(1e-13) * norm
    for _ in range(steps):
        if norm <= enough:
            break
        _normal_product(table, entries, roots, scale, direction, targets, False, z, whole, image)
        curvature = np.float32(0)
        for d in range(width):
            image[d] += direction[d]
            curvature += image[d] * direction[d]
        before, norm = norm, np.float32(0)
        for d in range(width):
            t[d] += before / curvature * direction[d]
            residual[d] -= before / curvature * image[d]
            norm += residual[d] * residual[d]
        for d in range(width):
            direction[d] = residual[d] + norm / before * direction[d]


@compiled
def solve_conjugate_gradient(data, side, shared, settings, rows, out):
    """Improves rows by conjugate gradient from what `out` holds, the shared part as preconditioner."""
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, steps, k = side[3], settings[0], settings[1], side[3].shape[1]
    width, longest = (k + 15) // 16 * 16, _longest(rows, indptr)
    z = np.empty((min(longest, PIECE), width), np.float32)
    roots, targets, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(k, np.float32)
    t, space, sums = np.empty(width, np.float32), np.empty((3, width), np.float32), np.zeros(3)
    for row in rows:
        key = keys[row]
        entries = indices[indptr[row] : indptr[row + 1]]
        scale[:] = np.float32(1) / np.sqrt(shared[0] + side[1][key])
        sums[2] += _weigh(data, side, w0, row, roots, targets)
        _start(out[key], scale, t)
        part = z[: (min(len(entries), PIECE) + 3) // 4 * 4]
        _conjugate_gradient(table, entries, roots, targets, scale, steps, part, t, space)
        _finish(data, side, shared, w0, row, t, scale, roots, out[key], sums)
    return sums


@compiled
def _start(u, scale, t):
    """t = D^(1/2) u; a dimension that the fixed side does not have (its D is huge) starts at 0."""
    t[:] = 0
    for d in range(len(u)):
        if scale[d] > np.float32(1e-10):
            t[d] = u[d] / scale[d]


@compiled
def _subtract_predictions(table, entries, roots, u, residuals):
    """residuals -= W^(1/2) V u."""
    for e in range(len(entries)):
        j, p = entries[e], np.float32(0)
        for d in range(len(u)):
            p += u[d] * table[j, d]
        residuals[e] -= roots[e] * p


@compiled
def _subtract_block(table, entries, roots, scale, start, step, z, residuals):
    """residuals -= Z_B step; step [dimensions of the block]."""
    for first in range(0, len(entries), PIECE):
        count = min(PIECE, len(entries) - first)
        if len(entries) > PIECE:
            _gather_transposed(table, entries[first:], count, roots[first:], scale, start, len(step), z)
        for d in range(len(step)):
            for e in range(count):
                residuals[first + e] -= step[d] * z[d, e]


@compiled
def solve_block_descent(data, side, shared, settings, rows, out):
    """Improves rows block by block of dimensions from what `out` holds.

    A block B: (I + Z_B'Z_B) step = Z_B'(r - Z t) - t_B.
    """
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, k = side[3], settings[0], side[3].shape[1]
    block, longest = min(settings[2], side[3].shape[1]), _longest(rows, indptr)
    padded, full = (block + 3) // 4 * 4, (block + 15) // 16 * 16
    space = np.empty(padded * min(longest, PIECE), np.float32)
    s, g, right = np.empty((full, full), np.float32), np.empty((full, full), np.float32), np.empty(block, np.float32)
    roots, residuals = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale, sums = np.empty(k, np.float32), np.empty(k, np.float32), np.zeros(3)
    for row in rows:
        key, n = keys[row], indptr[row + 1] - indptr[row]
        entries = indices[indptr[row] : indptr[row + 1]]
        scale[:] = np.float32(1) / np.sqrt(shared[0] + side[1][key])
        sums[2] += _weigh(data, side, w0, row, roots, residuals)
        _start(out[key], scale, t)
        columns = (min(n, PIECE) + 15) // 16 * 16
        z = space[: padded * columns].reshape(padded, columns)
        _subtract_predictions(table, entries, roots, out[key], residuals)
        for start in range(0, k, block):
            width = min(block, k - start)
            right[:width] = -t[start : start + width]
            g[:] = 0
            _normal_equations(table, entries, roots, residuals, scale, start, width, z, g, right)
            factor(z, padded, 0 if n > PIECE else columns, g, n > PIECE, s)
            solve_factored(s, width, right)
            t[start : start + width] += right[:width]
            _subtract_block(table, entries, roots, scale, start, right[:width], z, residuals)
        _finish(data, side, shared, w0, row, t, scale, roots, out[key], sums)
    return sums
