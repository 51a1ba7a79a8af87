"""The steps that the solvers share: a row's entries, their gathered factors Z, and the row's loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ranking.machine import prefetch
from trainer.als.kernels.cholesky import add_gram
from trainer.als.kernels.compiling import inner, pasted

# Entries handled at once: a longer row is gathered and summed piece by piece, so that a row of any length fits.
PIECE = 1024
# A table of millions of rows is in no cache: its rows are prefetched so many entries before they are needed.
_AHEAD = 16


class Entries(NamedTuple):
    """The arrays of a `SparseRows`."""

    keys: np.ndarray  # int64 [r]
    indptr: np.ndarray  # int64 [r + 1]
    indices: np.ndarray  # int32 [nnz]
    values: np.ndarray  # float32 [nnz]
    weights: np.ndarray  # float32 [nnz], E, or empty where all are 1


class RowSystems(NamedTuple):
    """The numbers from which the systems of all rows of a side are formed, in the basis."""

    row_weights: np.ndarray  # float32 [n], R by key
    ridges: np.ndarray  # float32 [n], lambda_i by key
    column_weights: np.ndarray  # float32 [m], C
    table: np.ndarray  # float32 [m, k], the fixed side's factors
    safe_diagonal: np.ndarray  # float32 [k], `diagonal` kept away from 0
    diagonal: np.ndarray  # float32 [k], w0 times the eigenvalues of the Gramian
    unobserved_weight: np.float32  # w0


class Row(NamedTuple):
    """One row's entries, or some of them."""

    key: int  # the row's index in its side's table
    table: np.ndarray  # float32 [m, k], the fixed side's factors
    columns: np.ndarray  # int32 [n]
    values: np.ndarray  # float32 [n]
    roots: np.ndarray  # float32 [n], W^(1/2)
    scale: np.ndarray  # float32 [k], D_i^(-1/2)


@inner
def piece_of(row, first, last):
    """Return the entries first .. last of a row."""
    return Row(row.key, row.table, row.columns[first:last], row.values[first:last], row.roots[first:last], row.scale)


@pasted
def longest(indptr, positions):
    """Return the entries of the longest row, rounded up to a multiple of 16."""
    entries = 16
    for position in positions:
        entries = max(entries, indptr[position + 1] - indptr[position])
    return (entries + 15) // 16 * 16


@pasted
def row_at(entries, systems, position, buffers, sums):
    """Return the row at a position: compute roots, scale and targets = r = W^(-1/2) (w0 + W) a; add W to sums[2]."""
    roots, scale, targets = buffers
    low, high, w0 = entries.indptr[position], entries.indptr[position + 1], systems.unobserved_weight
    columns, values = entries.indices[low:high], entries.values[low:high]
    row = Row(entries.keys[position], systems.table, columns, values, roots[: high - low], scale)
    for d in range(len(scale)):
        scale[d] = np.float32(1) / np.sqrt(systems.safe_diagonal[d] + systems.ridges[row.key])
    # An entry of weight 0 stays in the algebra with a weight too small to count.
    least, total = np.float32(1e-12) * w0 + np.float32(1e-30), 0.0
    for e in range(len(row.roots)):
        w = systems.row_weights[row.key] * systems.column_weights[row.columns[e]]
        if len(entries.weights) > 0:
            w *= entries.weights[low + e]
        total += w
        row.roots[e] = np.sqrt(max(w, least))
        targets[e] = (w0 + w) * row.values[e] / row.roots[e]
    sums[2] += total
    return row


@inner
def gather(row, padded, width, z):
    """Write Z of a row to z[:padded, :width], as [entries, k]; the padding is zeros."""
    k, count = row.table.shape[1], len(row.columns)
    for e in range(count):
        j, root = row.columns[e], row.roots[e]
        prefetch(row.table, row.columns[min(e + _AHEAD, count - 1)])
        for d in range(k):
            z[e, d] = root * row.scale[d] * row.table[j, d]
        for d in range(k, width):
            z[e, d] = 0
    for e in range(count, padded):
        for d in range(width):
            z[e, d] = 0


@inner
def gather_transposed(row, start, size, padded, z):
    """Write Z' of a row for `size` dimensions from `start` to z, as [dimensions, entries].

    The padding, to `padded` dimensions and to a multiple of 16 entries, is zeros.
    """
    count = len(row.columns)
    for e in range(count):
        j, root = row.columns[e], row.roots[e]
        for d in range(size):
            z[d, e] = root * row.scale[start + d] * row.table[j, start + d]
    for d in range(padded):
        for e in range(count if d < size else 0, (count + 15) // 16 * 16):
            z[d, e] = 0


@inner
def add_normal_equations(row, targets, start, z, g, right):
    """Add Z_B' targets to right, for the dimensions B = start .. start + len(right).

    Of a row longer than a piece, g becomes Z_B' Z_B. Of a shorter one, z becomes Z_B', and g is left alone.
    """
    count, size = len(row.columns), len(right)
    padded = (size + 3) // 4 * 4
    if count > PIECE:
        for c in range(padded):
            for d in range(padded):
                g[c, d] = 0
    for first in range(0, count, PIECE):
        last = min(first + PIECE, count)
        gather_transposed(piece_of(row, first, last), start, size, padded, z)
        for d in range(size):
            total = np.float32(0)
            for e in range(last - first):
                total += z[d, e] * targets[first + e]
            right[d] += total
        if count > PIECE:
            add_gram(z, padded, (last - first + 15) // 16 * 16, g)


@pasted
def start_from(u, scale, t):
    """Write t = D^(1/2) u; a dimension that the fixed side does not have (its D is huge) starts at 0."""
    for d in range(len(t)):
        t[d] = 0
    for d in range(len(u)):
        if scale[d] > np.float32(1e-10):
            t[d] = u[d] / scale[d]


@pasted
def finish(systems, row, t, products, known, u, sums):
    """Write u = D^(-1/2) t; add the row's unregularised loss to sums[0] and its regularisation to sums[1].

    products: float32 [n], Z t if `known`.
    """
    squares, fit, w0 = np.float32(0), np.float32(0), systems.unobserved_weight
    for d in range(len(u)):
        u[d] = t[d] * row.scale[d]
        squares += u[d] * u[d]
        fit += systems.diagonal[d] * u[d] * u[d]
    for e in range(len(row.columns)):
        a, root, p = row.values[e], row.roots[e], np.float32(0)
        if known:
            p = products[e] / root
        else:
            for d in range(len(u)):
                p += u[d] * row.table[row.columns[e], d]
        fit += w0 * a * (a - np.float32(2) * p) + root * root * (a - p) * (a - p)
    sums[0] += fit
    sums[1] += systems.ridges[row.key] * squares
