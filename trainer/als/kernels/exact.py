"""The exact solution, by a Cholesky factor of size min(entries, k) for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.als.kernels import rows
from trainer.als.kernels.cholesky import factor_and_solve
from trainer.als.kernels.compiling import compiled, pasted


class _Buffers(NamedTuple):
    """The working memory of a call, sized for its longest row."""

    by_entry: np.ndarray  # Z, of a row with at most k entries
    by_dimension: np.ndarray  # Z', of a longer one
    factor: np.ndarray
    gramian: np.ndarray


@pasted
def _buffers(k, longest):
    width = (k + 15) // 16 * 16
    largest, piece = min(width, longest), min(longest, rows.PIECE)
    return _Buffers(
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
def solve(entries, systems, positions, out):
    """Solve the rows at the positions exactly."""
    k, longest = systems.table.shape[1], rows.longest(entries.indptr, positions)
    buffers, sums = _buffers(k, longest), np.zeros(3)
    roots, targets = np.empty(longest, np.float32), np.empty(longest, np.float32)
    t, scale = np.empty((k + 15) // 16 * 16, np.float32), np.empty(k, np.float32)
    for position in positions:
        row = rows.row_at(entries, systems, position, roots, scale)
        sums[2] += rows.weigh(entries, systems, position, row, targets)
        t[:] = 0
        _solve_row(row, buffers, targets, t)
        fit, ridge = rows.finish(systems, row, t, targets, False, out[row.key])
        sums[0] += fit
        sums[1] += ridge
    return sums
