"""Block descent: one block of dimensions after the other is solved exactly, from the last solution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.als.kernels import rows
from trainer.als.kernels.cholesky import factor_and_solve
from trainer.als.kernels.compiling import compiled, inner, pasted


class _Buffers(NamedTuple):
    """The working memory of a call, sized for its longest row."""

    z: np.ndarray  # Z_B'
    right: np.ndarray
    factor: np.ndarray
    gramian: np.ndarray


@pasted
def _buffers(block, longest):
    padded = (block + 15) // 16 * 16
    return _Buffers(
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
def solve(entries, systems, block, positions, out):
    """Improve the rows at the positions block by block, of `block` dimensions, from the values in `out`."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _buffers(min(block, k), longest), np.zeros(3)
    roots, residuals = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale = np.empty(k, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, roots, scale)
        sums[2] += rows.weigh(entries, systems, position, row, residuals)
        rows.start_from(out[row.key], scale, t)
        _subtract_predictions(row, out[row.key], residuals)
        for start in range(0, k, min(block, k)):
            _improve_block(row, buffers, start, t[start : start + min(block, k)], residuals)
        fit, ridge = rows.finish(systems, row, t, residuals, False, out[row.key])
        sums[0] += fit
        sums[1] += ridge
    return sums
