"""The most related items of each item, by the visitors who have both; ratings play no part."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.heap import STRICT, Best, offer, sort

_AT_ONCE = 512  # items of a piece of work


class Relation(NamedTuple):
    """The relation of an item i to an item j, with n_i visitors, n_j visitors, and n_ij who have both:

        n_ij / (n_i^a n_j^c) * n_ij / (n_ij + s)

    a = c = 1/2 and s = 0 is the cosine (Sarwar et al. 2001, with presence); s shrinks relations that few visitors
    support (Koren 2008); a lower c favours popular items j.
    """

    item_exponent: float = 0.5  # a, of the item that a visitor has
    related_exponent: float = 0.5  # c, of the item that is recommended
    shrinkage: float = 0.0  # s


COSINE = Relation()


class _Visitors(NamedTuple):
    """Who has each item, and what each visitor has, as the kernel reads them."""

    owner_starts: np.ndarray  # int64 [m + 1]
    owners: np.ndarray  # int32 [nnz]
    item_starts: np.ndarray  # int64 [n + 1]
    items: np.ndarray  # int32 [nnz]
    left: np.ndarray  # float64 [m], n_i^a
    right: np.ndarray  # float64 [m], n_j^c


def nearest(rows: SparseRows, items: int, count: int, relation: Relation = COSINE) -> Best:
    """Return the `count` most related of each item, itself left out: m rows; of equal relations the lower itemId.

    rows: all visitors, keyed 0 .. n - 1 in order.
    """
    owners, best = rows.transpose(items), Best.empty(items, count)
    visitors = np.maximum(owners.lengths, 1).astype(np.float64)
    powers = (visitors**exponent for exponent in (relation.item_exponent, relation.related_exponent))
    data = _Visitors(owners.indptr, owners.indices, rows.indptr, rows.indices, *powers)

    def find(first: int) -> None:
        _find(first, data, relation.shrinkage, best.rows(slice(first, first + _AT_ONCE)))

    threads.each(find, range(0, items, _AT_ONCE))
    return best


@numba.njit(**STRICT)
def _find(first, data, shrinkage, best):
    """Fill `best` with the most related items of the items first, first + 1, ..."""
    size = len(data.left)
    together, reached = np.zeros(size, np.int32), np.empty(size, np.int32)
    for row in range(len(best.indices)):
        item, count = first + row, 0
        for entry in range(data.owner_starts[item], data.owner_starts[item + 1]):
            user = data.owners[entry]
            for other in data.items[data.item_starts[user] : data.item_starts[user + 1]]:
                if together[other] == 0:
                    reached[count] = other
                    count += 1
                together[other] += 1
        for other in reached[:count]:
            both = np.float64(together[other])
            together[other] = 0
            if other != item:
                relation = both / (data.left[item] * data.right[other]) * (both / (both + shrinkage))
                offer(np.float32(relation), other, best.scores[row], best.indices[row])
        sort(best.scores[row], best.indices[row])
