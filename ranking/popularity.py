"""The most popular items, for visitors without any ratings."""

from __future__ import annotations

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.diversity import Cap, fits, no_cap
from ranking.heap import STRICT, Best


def order(popularity: np.ndarray) -> np.ndarray:
    """Return the items by popularity float32 [n], the greatest first: int64 [n]; ties go to the lower index."""
    return np.argsort(-popularity, kind="stable")


def first_k(ordered: np.ndarray, popularity: np.ndarray, left_out: SparseRows, k: int, cap: Cap | None = None) -> Best:
    """Return the first k items of one order for each row, without those that are left out of the row.

    ordered: int64 [m], items, best first; they may be fewer than all n. popularity: float32 [n], the items' scores.
    """
    best = Best.empty(len(left_out), k)
    _walk(ordered, popularity, left_out.indptr, left_out.indices, cap or no_cap(len(popularity)), best)
    return best


@numba.njit(**STRICT)
def _walk(ordered, popularity, starts, left_out, cap, best):
    """Fill `best`."""
    skip = np.zeros(len(popularity), np.bool_)
    for row in range(len(best.indices)):
        own, size = left_out[starts[row] : starts[row + 1]], 0
        skip[own] = True
        for index in ordered:
            if size == best.indices.shape[1]:
                break
            if not skip[index] and fits(best.indices[row, :size], cap, index):
                best.indices[row, size], best.scores[row, size] = index, popularity[index]
                size += 1
        skip[own] = False
