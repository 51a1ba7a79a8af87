"""Conjugate gradient on (I + Z'Z) t = Z' r from the last solution, with the shared part as preconditioner."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.als.kernels import rows
from trainer.als.kernels.compiling import compiled, inner, pasted

# The most numbers of Z that are kept for all steps: 16 MB a thread. Each step gathers a longer row again.
KEPT = 1 << 22


class _Buffers(NamedTuple):
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
def _buffers(k, longest):
    width = (k + 15) // 16 * 16
    return _Buffers(
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
def solve(entries, systems, steps, positions, out):
    """Improve the rows at the positions by `steps` steps from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _buffers(k, longest), np.zeros(3)
    roots, scale = np.empty(longest, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, roots, scale)
        sums[2] += rows.weigh(entries, systems, position, row, buffers.targets)
        rows.start_from(out[row.key], scale, buffers.t)
        _improve(row, buffers, steps)
        fit, ridge = rows.finish(systems, row, buffers.t, buffers.products, True, out[row.key])
        sums[0] += fit
        sums[1] += ridge
    return sums
