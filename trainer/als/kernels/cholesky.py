"""Cholesky factors of I + Z Z', a few to a few hundred rows each.

Product and factor are computed together in tiles of 4 x 4 dot products, sixteen sums in registers while both operands
stream through: a library call per row would cost more than the arithmetic. `z` is float32 and padded with zeros: rows
to a multiple of 4, columns to a multiple of 16.
"""

from __future__ import annotations

import numpy as np

from trainer.als.kernels.compiling import inner


def _dots(sign):
    """Compile the addition of sign x[i + r, :length] . y[j + c, :length] to sums[4 r + c], for r, c in 0..3."""

    @inner
    def add(x, i, y, j, length, sums):
        a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
        for d in range(length):
            x0, x1, x2, x3 = sign * x[i, d], sign * x[i + 1, d], sign * x[i + 2, d], sign * x[i + 3, d]
            y0, y1, y2, y3 = y[j, d], y[j + 1, d], y[j + 2, d], y[j + 3, d]
            a00, a01, a02, a03 = a00 + x0 * y0, a01 + x0 * y1, a02 + x0 * y2, a03 + x0 * y3
            a10, a11, a12, a13 = a10 + x1 * y0, a11 + x1 * y1, a12 + x1 * y2, a13 + x1 * y3
            a20, a21, a22, a23 = a20 + x2 * y0, a21 + x2 * y1, a22 + x2 * y2, a23 + x2 * y3
            a30, a31, a32, a33 = a30 + x3 * y0, a31 + x3 * y1, a32 + x3 * y2, a33 + x3 * y3
        return a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33

    return add


_add_dots, _subtract_dots = _dots(np.float32(1)), _dots(np.float32(-1))


@inner
def _load(g, i, j):
    """Return the 4 x 4 tile of g at i, j as sixteen numbers."""
    return (
        *(g[i, j], g[i, j + 1], g[i, j + 2], g[i, j + 3]),
        *(g[i + 1, j], g[i + 1, j + 1], g[i + 1, j + 2], g[i + 1, j + 3]),
        *(g[i + 2, j], g[i + 2, j + 1], g[i + 2, j + 2], g[i + 2, j + 3]),
        *(g[i + 3, j], g[i + 3, j + 1], g[i + 3, j + 2], g[i + 3, j + 3]),
    )


@inner
def _store(g, i, j, sums):
    """Write sixteen numbers to the 4 x 4 tile of g at i, j."""
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 = sums
    g[i, j], g[i, j + 1], g[i, j + 2], g[i, j + 3] = a00, a01, a02, a03
    g[i + 1, j], g[i + 1, j + 1], g[i + 1, j + 2], g[i + 1, j + 3] = a10, a11, a12, a13
    g[i + 2, j], g[i + 2, j + 1], g[i + 2, j + 2], g[i + 2, j + 3] = a20, a21, a22, a23
    g[i + 3, j], g[i + 3, j + 1], g[i + 3, j + 2], g[i + 3, j + 3] = a30, a31, a32, a33


@inner
def _factor_tile(s, j, sums):
    """Write the Cholesky factor of I + the 4 x 4 tile to the diagonal of `s` at j; reciprocals on the diagonal."""
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
    """Return the tile times the inverse transpose of the diagonal tile at j."""
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
def add_gram(z, rows, width, g):
    """Add z z' to g on and below the diagonal tiles; z [rows, width], g [rows, rows], rows a multiple of 4."""
    for i in range(0, rows, 4):
        for j in range(0, i + 4, 4):
            _store(g, i, j, _add_dots(z, i, z, j, width, _load(g, i, j)))


@inner
def factor_and_solve(z, width, g, use_g, s, y):
    """Replace y by (I + z z' (+ g if use_g))^-1 y, and leave the Cholesky factor in `s`.

    z is [padded, width], g and s are [padded, >= size rounded up to 16], y is [size]; padded is size rounded up to 4,
    width is a multiple of 16, and the padding of z and g is zeros. The factor is lower triangular, with the reciprocals
    of its diagonal on the diagonal. The matrix has no eigenvalue below 1 whatever z is, so no pivot can fail.
    """
    size, zero = len(y), np.float32(0)
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
