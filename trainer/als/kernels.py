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

A matrix I + Z Z' gets one Cholesky factorisation written for its size, a few to a few hundred rows: product and factor
are computed together in tiles of 4 x 4 dot products, sixteen sums in registers while both operands stream through. A
library call per row would cost more than the arithmetic. `z` is float32 and padded with zeros: rows to a multiple of 4,
columns to one of 16.

One file, long as it is: Numba keeps compiled code on the disk until the caller's own file changes, and does not look at
others that it calls.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

# Entries handled at once: a longer row is gathered and summed piece by piece, so that no row is too long.
PIECE = 1024
# Numbers that conjugate gradient keeps of a row, whose steps all go over them: 16 MB a thread at most. Of a longer row
# each step gathers them anew.
GATHERED = 1 << 22
# A table of millions of rows is in no cache: its rows are asked for so many entries before they are needed.
AHEAD = 16

# nogil: threads are Python's own, so nothing here depends on a threading layer. error_model: a division by zero
# gives inf as in NumPy, and the loops stay free of branches.
_COMPILE = {"nogil": True, "fastmath": True, "error_model": "numpy"}
compiled = numba.njit(**_COMPILE, cache=True)
# For what only compiled code calls: a way in from Python would cost a tenth of the time that compiling takes.
inner = numba.njit(**_COMPILE, no_cpython_wrapper=True, no_cfunc_wrapper=True)
# For what a kernel uses once: put in its place before types are found, it costs no compilation of its own.
pasted = numba.njit(inline="always")


@intrinsic
def _ask_for_line(typing, address):
    """Asks for the cache line at an address, int64, and does not wait for it."""

    def generate(context, builder, signature, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(ask, [builder.inttoptr(arguments[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inner
def _prefetch(table, row):
    """Asks for the start of a row of a float32 [n, k] table; the processor itself goes on along a long row."""
    start = np.int64(table.ctypes.data) + np.int64(4) * table.shape[1] * row
    for line in range(min(4, (table.shape[1] + 15) // 16)):
        _ask_for_line(start + np.int64(64) * line)


@inner
def _add_dots(x, i, y, j, length, sums):
    """sums[4 r + c] + x[i + r, :length] . y[j + c, :length] for r, c in 0..3."""
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
    for d in range(length):
        x0, x1, x2, x3 = x[i, d], x[i + 1, d], x[i + 2, d], x[i + 3, d]
        y0, y1, y2, y3 = y[j, d], y[j + 1, d], y[j + 2, d], y[j + 3, d]
        a00, a01, a02, a03 = a00 + x0 * y0, a01 + x0 * y1, a02 + x0 * y2, a03 + x0 * y3
        a10, a11, a12, a13 = a10 + x1 * y0, a11 + x1 * y1, a12 + x1 * y2, a13 + x1 * y3
        a20, a21, a22, a23 = a20 + x2 * y0, a21 + x2 * y1, a22 + x2 * y2, a23 + x2 * y3
        a30, a31, a32, a33 = a30 + x3 * y0, a31 + x3 * y1, a32 + x3 * y2, a33 + x3 * y3
    return a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33


@inner
def _subtract_dots(x, i, y, j, length, sums):
    """sums[4 r + c] - x[i + r, :length] . y[j + c, :length] for r, c in 0..3."""
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
    for d in range(length):
        x0, x1, x2, x3 = x[i, d], x[i + 1, d], x[i + 2, d], x[i + 3, d]
        y0, y1, y2, y3 = y[j, d], y[j + 1, d], y[j + 2, d], y[j + 3, d]
        a00, a01, a02, a03 = a00 - x0 * y0, a01 - x0 * y1, a02 - x0 * y2, a03 - x0 * y3
        a10, a11, a12, a13 = a10 - x1 * y0, a11 - x1 * y1, a12 - x1 * y2, a13 - x1 * y3
        a20, a21, a22, a23 = a20 - x2 * y0, a21 - x2 * y1, a22 - x2 * y2, a23 - x2 * y3
        a30, a31, a32, a33 = a30 - x3 * y0, a31 - x3 * y1, a32 - x3 * y2, a33 - x3 * y3
    return a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33


@inner
def _load(g, i, j):
    return (
        *(g[i, j], g[i, j + 1], g[i, j + 2], g[i, j + 3]),
        *(g[i + 1, j], g[i + 1, j + 1], g[i + 1, j + 2], g[i + 1, j + 3]),
        *(g[i + 2, j], g[i + 2, j + 1], g[i + 2, j + 2], g[i + 2, j + 3]),
        *(g[i + 3, j], g[i + 3, j + 1], g[i + 3, j + 2], g[i + 3, j + 3]),
    )


@inner
def _store(g, i, j, sums):
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
    g[i, j], g[i, j + 1], g[i, j + 2], g[i, j + 3] = a00, a01, a02, a03
    g[i + 1, j], g[i + 1, j + 1], g[i + 1, j + 2], g[i + 1, j + 3] = a10, a11, a12, a13
    g[i + 2, j], g[i + 2, j + 1], g[i + 2, j + 2], g[i + 2, j + 3] = a20, a21, a22, a23
    g[i + 3, j], g[i + 3, j + 1], g[i + 3, j + 2], g[i + 3, j + 3] = a30, a31, a32, a33


@inner
def _factor_tile(s, j, sums):
    """Writes the Cholesky factor of I + the 4 x 4 tile to the diagonal of `s` at j; reciprocals on the diagonal."""
    one = np.float32(1)
    a00, _, _, _, a10, a11, _, _, a20, a21, a22, _, a30, a31, a32, a33 = sums
    r0 = one / np.sqrt(one + a00)
    b10, b20, b30 = a10 * r0, a20 * r0, a30 * r0
    r1 = one / np.sqrt(max(one + a11 - b10 * b10, np.float32(1e-6)))
    b21, b31 = (a21 - b20 * b10) * r1, (a31 - b30 * b10) * r1
    r2 = one / np.sqrt(max(one + a22 - b20 * b20 - b21 * b21, np.float32(1e-6)))
    b32 = (a32 - b30 * b20 - b31 * b21) * r2
    r3 = one / np.sqrt(max(one + a33 - b30 * b30 - b31 * b31 - b32 * b32, np.float32(1e-6)))
    s[j, j] = r0
    s[j + 1, j], s[j + 1, j + 1] = b10, r1
    s[j + 2, j], s[j + 2, j + 1], s[j + 2, j + 2] = b20, b21, r2
    s[j + 3, j], s[j + 3, j + 1], s[j + 3, j + 2], s[j + 3, j + 3] = b30, b31, b32, r3


@inner
def _divide_tile(s, j, sums):
    """The tile times the inverse transpose of the diagonal tile at j."""
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
    r0, r1, r2, r3 = s[j, j], s[j + 1, j + 1], s[j + 2, j + 2], s[j + 3, j + 3]
    b10, b20, b21 = s[j + 1, j], s[j + 2, j], s[j + 2, j + 1]
    b30, b31, b32 = s[j + 3, j], s[j + 3, j + 1], s[j + 3, j + 2]
    a00, a10, a20, a30 = a00 * r0, a10 * r0, a20 * r0, a30 * r0
    a01, a11 = (a01 - a00 * b10) * r1, (a11 - a10 * b10) * r1
    a21, a31 = (a21 - a20 * b10) * r1, (a31 - a30 * b10) * r1
    a02, a12 = (a02 - a00 * b20 - a01 * b21) * r2, (a12 - a10 * b20 - a11 * b21) * r2
    a22, a32 = (a22 - a20 * b20 - a21 * b21) * r2, (a32 - a30 * b20 - a31 * b21) * r2
    a03 = (a03 - a00 * b30 - a01 * b31 - a02 * b32) * r3
    a13 = (a13 - a10 * b30 - a11 * b31 - a12 * b32) * r3
    a23 = (a23 - a20 * b30 - a21 * b31 - a22 * b32) * r3
    a33 = (a33 - a30 * b30 - a31 * b31 - a32 * b32) * r3
    return a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33


@inner
def _add_gram(z, rows, width, g):
    """g += z z' on and below the diagonal tiles; z [rows, width], g [rows, rows], rows a multiple of 4."""
    for i in range(0, rows, 4):
        for j in range(0, i + 4, 4):
            _store(g, i, j, _add_dots(z, i, z, j, width, _load(g, i, j)))


@inner
def _factor_and_solve(z, size, width, g, use_g, s, y):
    """y <- (I + z z' (+ g))^-1 y in place, by a Cholesky factor that is left in `s`.

    z [padded, width], g, s [padded, >= size rounded up to 16], where padded is size rounded up to 4, width a multiple
    of 16, and the padding of z and g is zeros; y [size]. `g` is read where `use_g`. The factor is lower, with the
    reciprocals of its diagonal on the diagonal. The matrix has no eigenvalue below 1 whatever z is: no pivot can fail.
    """
    zero = np.float32(0)
    four = (zero, zero, zero, zero)
    empty = four + four + four + four
    for i in range(0, size, 4):
        # Entries not yet computed count as zeros in the dot products below, which run in whole vectors.
        for r in range(4):
            for d in range((i + 19) // 16 * 16):
                s[i + r, d] = zero
        for j in range(0, i + 4, 4):
            sums = _load(g, i, j) if use_g else empty
            sums = _add_dots(z, i, z, j, width, sums)
            sums = _subtract_dots(s, i, s, j, (j + 15) // 16 * 16, sums)
            if i == j:
                _factor_tile(s, j, sums)
            else:
                _store(s, i, j, _divide_tile(s, j, sums))
    for i in range(size):
        v = np.float32(0)
        for j in range(i):
            v += s[i, j] * y[j]
        y[i] = (y[i] - v) * s[i, i]
    for i in range(size - 1, -1, -1):
        v = y[i] * s[i, i]
        y[i] = v
        for j in range(i):
            y[j] -= v * s[i, j]


@pasted
def _longest(rows, indptr):
    longest = 16
    for row in rows:
        longest = max(longest, indptr[row + 1] - indptr[row])
    return (longest + 15) // 16 * 16


@pasted
def _set_scale(shared, regularization, scale):
    """scale = D_i^(-1/2)."""
    for d in range(len(scale)):
        scale[d] = np.float32(1) / np.sqrt(shared[d] + regularization)


@pasted
def _weigh(data, side, w0, row, roots, targets):
    """roots = W^(1/2) and targets = W^(-1/2) (w0 + W) a of a row's entries; returns sum W."""
    keys, indptr, indices, values, entry_weights = data
    # An entry of weight 0 keeps its place in the algebra with a weight too small to count.
    least, total, low = np.float32(1e-12) * w0 + np.float32(1e-30), 0.0, indptr[row]
    for e in range(len(roots)):
        w = side[0][keys[row]] * side[2][indices[low + e]]
        if len(entry_weights) > 0:
            w *= entry_weights[low + e]
        total += w
        roots[e] = np.sqrt(max(w, least))
        targets[e] = (w0 + w) * values[low + e] / roots[e]
    return total


@inner
def _gather(table, entries, roots, scale, padded, width, z):
    """z[:padded, :width] = Z of the entries given, as [entries, k]; the padding is zeros."""
    k = table.shape[1]
    for e in range(len(entries)):
        j, root = entries[e], roots[e]
        _prefetch(table, entries[min(e + AHEAD, len(entries) - 1)])
        for d in range(k):
            z[e, d] = root * scale[d] * table[j, d]
        for d in range(k, width):
            z[e, d] = 0
    for e in range(len(entries), padded):
        for d in range(width):
            z[e, d] = 0


@inner
def _gather_transposed(table, entries, roots, scale, start, size, padded, width, z):
    """z[:padded, :width] = Z' of the entries given for `size` dimensions from `start`, as [dimensions, entries]."""
    for e in range(len(entries)):
        j, root = entries[e], roots[e]
        for d in range(size):
            z[d, e] = root * scale[start + d] * table[j, start + d]
    for d in range(padded):
        for e in range(len(entries) if d < size else 0, width):
            z[d, e] = 0


@pasted
def _finish(data, side, shared, w0, row, t, scale, roots, q, known, u, sums):
    """u = D^(-1/2) t, and the row's share of the loss added to `sums`; q = Z t where `known`."""
    keys, indptr, indices, values, _ = data
    table = side[3]
    squares, fit = np.float32(0), np.float32(0)
    for d in range(len(u)):
        u[d] = t[d] * scale[d]
        squares += u[d] * u[d]
        fit += shared[1][d] * u[d] * u[d]
    for e in range(len(roots)):
        a, j, p = values[indptr[row] + e], indices[indptr[row] + e], np.float32(0)
        if known:
            p = q[e] / roots[e]
        else:
            for d in range(len(u)):
                p += u[d] * table[j, d]
        fit += w0 * a * (a - np.float32(2) * p) + roots[e] * roots[e] * (a - p) * (a - p)
    sums[0] += fit
    sums[1] += side[1][keys[row]] * squares


@inner
def _normal_equations(table, entries, roots, targets, scale, start, size, z, g, right):
    """right += Z_B' targets for the dimensions start .. start + size; of a row longer than a piece, g = Z_B'Z_B.

    Otherwise z holds Z_B' when it returns, and g is left alone.
    """
    n, padded = len(entries), (size + 3) // 4 * 4
    if n > PIECE:
        for c in range(padded):
            for d in range(padded):
                g[c, d] = 0
    for first in range(0, n, PIECE):
        last = min(first + PIECE, n)
        width = (last - first + 15) // 16 * 16
        _gather_transposed(table, entries[first:last], roots[first:last], scale, start, size, padded, width, z)
        for d in range(size):
            total = np.float32(0)
            for e in range(last - first):
                total += z[d, e] * targets[first + e]
            right[d] += total
        if n > PIECE:
            _add_gram(z, padded, width, g)


@compiled
def solve_exact(data, side, shared, settings, rows, out):
    """Solves rows exactly, each by a Cholesky factor of size min(entries, k)."""
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, k = side[3], settings[0], side[3].shape[1]
    width, longest = (k + 15) // 16 * 16, _longest(rows, indptr)
    largest, piece = min(width, longest), min(longest, PIECE)
    by_entry = np.empty((largest, width), np.float32)
    by_dimension = np.empty((width if longest > k else 0, piece), np.float32)
    s, g = np.empty((largest, largest), np.float32), np.empty((largest, largest), np.float32)
    roots, y, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(k, np.float32)
    t, sums = np.empty(width, np.float32), np.zeros(3)
    for row in rows:
        key, entries = keys[row], indices[indptr[row] : indptr[row + 1]]
        n = len(entries)
        own = roots[:n]
        _set_scale(shared[0], side[1][key], scale)
        sums[2] += _weigh(data, side, w0, row, own, y)
        for d in range(width):
            t[d] = 0
        if n <= k:
            _gather(table, entries, own, scale, (n + 3) // 4 * 4, width, by_entry)
            z, right, size, across, use_g = by_entry, y, n, width, False
        else:
            _normal_equations(table, entries, own, y, scale, 0, k, by_dimension, g, t)
            z, right, size, across, use_g = by_dimension, t, k, (n + 15) // 16 * 16, n > PIECE
        _factor_and_solve(z, size, 0 if use_g else across, g, use_g, s, right)
        if n <= k:
            for e in range(n):
                for d in range(width):
                    t[d] += y[e] * by_entry[e, d]
        _finish(data, side, shared, w0, row, t, scale, own, y, False, out[key], sums)
    return sums


@inner
def _residual(table, entries, roots, scale, targets, share, x, gathered, z, q, out):
    """q = Z x and out = Z'(share targets - Z x), piece by piece, each gathered unless z holds the only one."""
    n, width, piece = len(entries), len(x), len(z)
    for d in range(width):
        out[d] = 0
    for first in range(0, n, piece):
        last = min(first + piece, n)
        if not gathered:
            _gather(table, entries[first:last], roots[first:last], scale, last - first, width, z)
        for e in range(last - first):
            y = np.float32(0)
            for d in range(width):
                y += z[e, d] * x[d]
            q[first + e] = y
            y = share * targets[first + e] - y
            for d in range(width):
                out[d] += y * z[e, d]


@pasted
def _conjugate_gradient(table, entries, roots, targets, scale, steps, z, t, space, q, change):
    """`steps` of conjugate gradient on (I + Z'Z) t = Z' r, from the t given; leaves q = Z t."""
    n, width, once = len(entries), len(t), len(entries) <= len(z)
    residual, direction, image = space[0], space[1], space[2]
    if once:
        _gather(table, entries, roots, scale, n, width, z)
    _residual(table, entries, roots, scale, targets, np.float32(1), t, once, z, q, residual)
    norm = np.float32(0)
    for d in range(width):
        residual[d] -= t[d]
        direction[d] = residual[d]
        norm += residual[d] * residual[d]
    enough = np.float32(1e-13) * norm
    for _ in range(steps):
        if norm <= enough:
            break
        _residual(table, entries, roots, scale, targets, np.float32(0), direction, once, z, change, image)
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
        for e in range(n):
            q[e] += step * change[e]


@compiled
def solve_conjugate_gradient(data, side, shared, settings, rows, out):
    """Improves rows by conjugate gradient from what `out` holds, the shared part as preconditioner."""
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, steps, k = side[3], settings[0], settings[1], side[3].shape[1]
    width, longest = (k + 15) // 16 * 16, _longest(rows, indptr)
    z = np.empty((min(longest, max(PIECE, GATHERED // width)), width), np.float32)
    roots, targets, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(k, np.float32)
    q, change = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, space, sums = np.empty(width, np.float32), np.empty((3, width), np.float32), np.zeros(3)
    for row in rows:
        key, entries = keys[row], indices[indptr[row] : indptr[row + 1]]
        own = roots[: len(entries)]
        _set_scale(shared[0], side[1][key], scale)
        sums[2] += _weigh(data, side, w0, row, own, targets)
        _start(out[key], scale, t)
        _conjugate_gradient(table, entries, own, targets, scale, steps, z, t, space, q, change)
        _finish(data, side, shared, w0, row, t, scale, own, q, True, out[key], sums)
    return sums


@pasted
def _start(u, scale, t):
    """t = D^(1/2) u; a dimension that the fixed side does not have (its D is huge) starts at 0."""
    for d in range(len(t)):
        t[d] = 0
    for d in range(len(u)):
        if scale[d] > np.float32(1e-10):
            t[d] = u[d] / scale[d]


@inner
def _subtract_predictions(table, entries, roots, u, residuals):
    """residuals -= W^(1/2) V u."""
    for e in range(len(entries)):
        j, p = entries[e], np.float32(0)
        for d in range(len(u)):
            p += u[d] * table[j, d]
        residuals[e] -= roots[e] * p


@inner
def _subtract_block(table, entries, roots, scale, start, size, step, z, residuals):
    """residuals -= Z_B step, for the dimensions start .. start + size; z holds Z_B' where one piece is all."""
    n = len(entries)
    for first in range(0, n, PIECE):
        last = min(first + PIECE, n)
        if n > PIECE:
            _gather_transposed(table, entries[first:last], roots[first:last], scale, start, size, size, last - first, z)
        for d in range(size):
            for e in range(last - first):
                residuals[first + e] -= step[d] * z[d, e]


@compiled
def solve_block_descent(data, side, shared, settings, rows, out):
    """Improves rows block by block of dimensions from what `out` holds.

    A block B: (I + Z_B'Z_B) step = Z_B'(r - Z t) - t_B.
    """
    keys, indptr, indices = data[0], data[1], data[2]
    table, w0, k = side[3], settings[0], side[3].shape[1]
    block, longest = min(settings[2], side[3].shape[1]), _longest(rows, indptr)
    padded = (block + 15) // 16 * 16
    z, right = np.empty((padded, min(longest, PIECE)), np.float32), np.empty(block, np.float32)
    s, g = np.empty((padded, padded), np.float32), np.empty((padded, padded), np.float32)
    roots, residuals = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale, sums = np.empty(k, np.float32), np.empty(k, np.float32), np.zeros(3)
    for row in rows:
        key, entries = keys[row], indices[indptr[row] : indptr[row + 1]]
        n = len(entries)
        own = roots[:n]
        _set_scale(shared[0], side[1][key], scale)
        sums[2] += _weigh(data, side, w0, row, own, residuals)
        _start(out[key], scale, t)
        _subtract_predictions(table, entries, own, out[key], residuals)
        for start in range(0, k, block):
            size = min(block, k - start)
            for d in range(size):
                right[d] = -t[start + d]
            _normal_equations(table, entries, own, residuals, scale, start, size, z, g, right)
            _factor_and_solve(z, size, 0 if n > PIECE else (n + 15) // 16 * 16, g, n > PIECE, s, right)
            for d in range(size):
                t[start + d] += right[d]
            _subtract_block(table, entries, own, scale, start, size, right, z, residuals)
        _finish(data, side, shared, w0, row, t, scale, own, residuals, False, out[key], sums)
    return sums
