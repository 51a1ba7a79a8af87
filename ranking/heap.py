"""The order of answers, and heaps of the best entries for Numba. Ties are broken here, for everything on the CPU.

A higher score is better; of equal scores, the lower index is better. An index is an itemId (a userId), or the row of a
table that is in the order of these ids.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

STRICT = {"nogil": True, "cache": True, "error_model": "numpy"}
# nnan: factors are finite, and without NaN the search for the greatest score becomes vector instructions.
FAST = {**STRICT, "fastmath": {"nnan", "nsz", "reassoc", "contract"}}


class Best(NamedTuple):
    """The best entries of b rows."""

    indices: np.ndarray  # int64 [b, k], best first; -1 after a row's last entry
    scores: np.ndarray  # float32 [b, k]; -inf after a row's last entry

    @classmethod
    def empty(cls, rows: int, k: int) -> Best:
        """Return rows without entries."""
        return cls(np.full((rows, k), -1, np.int64), np.full((rows, k), -np.inf, np.float32))

    def rows(self, rows: slice) -> Best:
        """Return views of some rows."""
        return Best(self.indices[rows], self.scores[rows])


@numba.njit(**STRICT)
def is_worse(score, index, other_score, other_index):
    """Return whether an entry comes after another one: a lower score, or an equal score and a higher index."""
    return score < other_score or (score == other_score and index > other_index)


@numba.njit(**STRICT)
def offer(score, index, scores, indices):
    """Put an entry into a heap [k] if it is better than the worst one, which is on top."""
    if is_worse(scores[0], indices[0], score, index):
        sift(score, index, len(scores), scores, indices)


@numba.njit(**STRICT)
def sift(score, index, size, scores, indices):
    """Replace the top of a heap of `size` entries."""
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        other = child + 1
        if other < size and is_worse(scores[other], indices[other], scores[child], indices[child]):
            child = other
        if not is_worse(scores[child], indices[child], score, index):
            break
        scores[parent], indices[parent] = scores[child], indices[child]
        parent = child
    scores[parent], indices[parent] = score, index


@numba.njit(**STRICT)
def sort(scores, indices):
    """Turn a heap [k] into a list, best first."""
    for size in range(len(scores) - 1, 0, -1):
        score, index = scores[size], indices[size]
        scores[size], indices[size] = scores[0], indices[0]
        sift(score, index, size, scores, indices)
