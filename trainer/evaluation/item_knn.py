"""Item kNN, a baseline: items near to those that a user has, by the cosine of who has them.

Ratings play no part (Sarwar et al. 2001, with presence).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.heap import STRICT, Best, offer, sort
from ranking.threads import on_all_cores

_AT_ONCE = 512  # items, or users, of a piece of work


@dataclass(frozen=True)
class ItemKnn:
    """The nearest items of each item.

    Attributes:
        near: indices int64 [m, c] and scores float32 [m, c], the cosines, best first.
    """

    near: Best

    @classmethod
    def of(cls, rows: SparseRows, items: int, count: int) -> ItemKnn:
        """Return the `count` nearest of each item; rows: all users, keyed 0 .. n - 1 in order."""
        owners, near = rows.transpose(items), Best.empty(items, count)

        def find(first: int) -> None:
            part = near.rows(slice(first, first + _AT_ONCE))
            _neighbours(first, owners.indptr, owners.indices, rows.indptr, rows.indices, part)

        on_all_cores(find, range(0, items, _AT_ONCE))
        return cls(near)

    def prepare(self, keys: np.ndarray) -> None:
        """Do nothing: no user's data is needed but what each has."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        """Return the k items of the greatest summed cosines to what each user has, without those."""
        best = Best.empty(len(seen), k)

        def answer(first: int) -> None:
            part = slice(first, first + _AT_ONCE)
            _sum_up(self.near, seen.indptr[first : first + _AT_ONCE + 1], seen.indices, best.rows(part))

        on_all_cores(answer, range(0, len(seen), _AT_ONCE))
        return best.indices


@numba.njit(**STRICT)
def _neighbours(first, owner_starts, owners, item_starts, items, near):
    """Fill `near` with the nearest items of the items first, first + 1, ...

    Args:
        owner_starts: int64 [m + 1], owners: who has each item.
        item_starts: int64 [n + 1], items: what each user has.
    """
    size = len(owner_starts) - 1
    together, reached = np.zeros(size, np.int32), np.empty(size, np.int32)
    for row in range(len(near.indices)):
        item, count = first + row, 0
        for entry in range(owner_starts[item], owner_starts[item + 1]):
            user = owners[entry]
            for other in items[item_starts[user] : item_starts[user + 1]]:
                if together[other] == 0:
                    reached[count] = other
                    count += 1
                together[other] += 1
        norm = np.sqrt(np.float64(owner_starts[item + 1] - owner_starts[item]))
        for other in reached[:count]:
            if other != item:
                length = np.sqrt(np.float64(owner_starts[other + 1] - owner_starts[other]))
                cosine = np.float32(together[other] / (norm * length))
                offer(cosine, other, near.scores[row], near.indices[row])
            together[other] = 0
        sort(near.scores[row], near.indices[row])


@numba.njit(**STRICT)
def _sum_up(near, starts, seen, best):
    """Fill `best` by the summed cosines of what each user has to its neighbours."""
    size = len(near.indices)
    totals, reached, mine = np.zeros(size, np.float32), np.empty(size, np.int32), np.zeros(size, np.bool_)
    for row in range(len(best.indices)):
        own, count = seen[starts[row] : starts[row + 1]], 0
        for item in own:
            mine[item] = True
            for number in range(near.indices.shape[1]):
                other = near.indices[item, number]
                if other < 0:
                    break
                if totals[other] == 0:
                    reached[count] = other
                    count += 1
                totals[other] += near.scores[item, number]
        for other in reached[:count]:
            if not mine[other]:
                offer(totals[other], other, best.scores[row], best.indices[row])
            totals[other] = 0
        for item in own:
            mine[item] = False
        sort(best.scores[row], best.indices[row])
