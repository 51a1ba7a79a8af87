"""Metrics of top-K lists, one user at a time, and their sums by groups of users, from which means and intervals come.

Those of one list are in `ranking.measures.lists`; the items that are right are those held out. Of all lists together,
novelty is the mean of -log2(visitors of the item / visitors) over all recommendations (Vargas & Castells 2011);
coverage the share of the catalogue that is recommended at all; gini how uneven the recommendations are, 0 to 1. ils
is the intra-list similarity, by the factors of the measured model for all systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.diversity import intra_list_similarity
from ranking.heap import STRICT
from ranking.measures.lists import USER_METRICS, Columns, of_lists
from ranking.neighbourhood import Neighbourhood, Term
from ranking.similarity import norms
from ranking.topk import top_k
from trainer.inputs.hashing import hashes

ILS = "ils"  # intra-list similarity
ALL_METRICS = (*USER_METRICS, "novelty", ILS, "coverage", "gini")
RMSE = "rmse"
LESS_IS_MORE = (ILS, "gini", RMSE)  # metrics whose least value is the best
ACTIVITY = {"1": 1, "2-5": 5, "6-20": 20, "21+": None}  # items in train: the greatest number of each group

_BUCKETS = 2048  # of users, which resampling draws whole
_PARTS = 20  # of users, for metrics of all lists together
_USERS = 8192  # whose lists are computed at once


@numba.njit(**STRICT)
def overlap(lists, others, ks):
    """Return the share of the first K items that is the same in two lists int [b, k] of each user: float64 [b, ks]."""
    shares = np.empty((len(lists), len(ks)))
    for row in range(len(lists)):
        for column in range(len(ks)):
            k, same = ks[column], 0
            for item in lists[row, :k]:
                for other in others[row, :k]:
                    same += item >= 0 and item == other
            shares[row, column] = same / k
    return shares


@numba.njit(**STRICT)
def _expose(lists, parts, ks, exposure):
    """Add each recommendation to exposure int32 [parts, ks, m], at the first K that contains its position."""
    for row in range(len(lists)):
        column = 0
        for position in range(lists.shape[1]):
            if position == ks[column]:
                column += 1
            if lists[row, position] >= 0:
                exposure[parts[row], column, lists[row, position]] += 1


class FactorMetrics(NamedTuple):
    """Recall and NDCG, means over the users with held-out entries, and the number of these users."""

    recall: float
    ndcg: float
    users: int


def of_factors(
    users: np.ndarray, items: np.ndarray, held_out: SparseRows, seen: SparseRows, k: int = 20
) -> FactorMetrics:
    """Return recall@k and NDCG@k of factors over all items that `seen` does not leave out, as trainer.evaluate does.

    Args:
        users: float32 [n, d]. items: float32 [m, d], in the same coordinates.
        held_out, seen: rows keyed 0 .. n - 1 in order.
    """
    each = of_each_user(users, items, held_out, seen, k)
    means = Columns.of(each.sum(axis=0) / max(len(each), 1))
    return FactorMetrics(float(means.recall), float(means.ndcg), len(each))


def of_each_user(
    users: np.ndarray,
    items: np.ndarray,
    held_out: SparseRows,
    seen: SparseRows,
    k: int,
    neighbourhood: Neighbourhood | None = None,
) -> np.ndarray:
    """Return the metrics at k of each user with held-out entries, float64 [users, columns]; see `of_factors`."""
    rated, left_out = np.flatnonzero(held_out.lengths), seen.left_out()
    values = [np.zeros((0, len(Columns._fields)))]
    for start in range(0, len(rated), _USERS):
        block = rated[start : start + _USERS]
        term = Term(neighbourhood, seen.take(block)) if neighbourhood else None
        lists = top_k(users[block], items, left_out.take(block), k, term=term).indices
        values.append(of_lists(lists, held_out.take(block), np.array([k]), np.zeros(len(items)))[:, 0])
    return np.concatenate(values)


@dataclass(frozen=True)
class Users:
    """The bucket, part and activity of the b users of a block, int64 [b] each."""

    buckets: np.ndarray
    parts: np.ndarray
    activity: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, items: np.ndarray, before: int, total: int, seed: int) -> Users:
        """Return the groups of users int64 [b].

        Args:
            items: int64 [b], how many items each has in train.
            before, total: users in earlier blocks, and in all blocks; if there are few, each has a bucket.
        """
        buckets = np.arange(before, before + len(keys))
        if total > _BUCKETS:  # drawn by a hash, because users with neighbouring indices are alike
            buckets = (hashes(seed, keys, np.zeros_like(keys)) * _BUCKETS).astype(np.int64)
        parts = (hashes(seed + 1, keys, np.zeros_like(keys)) * _PARTS).astype(np.int64)
        limits = [limit for limit in ACTIVITY.values() if limit is not None]
        return cls(buckets, parts, np.searchsorted(limits, items))

    def take(self, positions: np.ndarray, groups: np.ndarray) -> Users:
        """Return some of the users, int64 [r], with groups int64 [r] in place of their activity."""
        return Users(self.buckets[positions], self.parts[positions], groups)


class Directions(NamedTuple):
    """Factors of items float32 [m, d], and their lengths float64 [m], by which items are compared."""

    items: np.ndarray
    norms: np.ndarray

    @classmethod
    def of(cls, items: np.ndarray) -> Directions:
        """Return the factors with their lengths."""
        return cls(items, norms(items))


class Sums:
    """The sums of one system by groups of users, which are those of `ACTIVITY` unless others are given.

    Attributes:
        cells: float64 [buckets, groups, ks, columns]. counts: float64 [buckets, groups], users.
        exposure: int32 [parts, ks, items]. errors: float64 [buckets, 2], squared errors of ratings and their number.
        similarity: float64 [buckets, ks], intra-list similarities.
    """

    def __init__(self, ks: Sequence[int], information: np.ndarray, users: int, groups: int = len(ACTIVITY)):
        """Begin with zeros; ks ascend, information is float64 [m] (`of_lists`)."""
        self.ks, self._information = np.array(ks, np.int64), information
        buckets = min(users, _BUCKETS)
        self.cells = np.zeros((buckets, groups, len(ks), len(Columns._fields)))
        self.counts = np.zeros((buckets, groups))
        self.exposure = np.zeros((_PARTS, len(ks), len(information)), np.int32)
        self.errors = np.zeros((buckets, 2))
        self.similarity = np.zeros((buckets, len(ks)))

    def add(self, lists: np.ndarray, truth: SparseRows, users: Users) -> None:
        """Add the lists int [b, k] of users, with what is held out of each."""
        values = of_lists(lists, truth, self.ks, self._information)
        np.add.at(self.cells, (users.buckets, users.activity), values)
        np.add.at(self.counts, (users.buckets, users.activity), 1)
        _expose(lists, users.parts, self.ks, self.exposure)

    def add_similarity(self, lists: np.ndarray, table: Directions, users: Users) -> None:
        """Add the intra-list similarities of lists int [b, k] of users."""
        np.add.at(self.similarity, users.buckets, intra_list_similarity(lists, self.ks, *table))

    def add_errors(self, errors: np.ndarray, truth: SparseRows, users: Users) -> None:
        """Add errors float64 [entries] of the held-out ratings."""
        owners = np.repeat(users.buckets, truth.lengths)
        np.add.at(self.errors, owners, np.stack([errors**2, np.ones_like(errors)], 1))


def information(visitors: np.ndarray, users: int) -> np.ndarray:
    """Return float64 [m], -log2(visitors of the item / users); an item without visitors counts as if it had one."""
    return -np.log2(np.maximum(visitors, 1) / users)


def coverage(exposure: np.ndarray) -> float:
    """Return the share of the items int [m] that are recommended at all."""
    return float(np.count_nonzero(exposure) / len(exposure))


def gini(exposure: np.ndarray) -> float:
    """Return how unevenly recommendations int [m] are spread over all items: 0 evenly, 1 all on one.

    G = 2 sum_i i x_i / (m sum x) - (m + 1) / m, x ascending.
    """
    ordered, size = np.sort(exposure).astype(np.float64), len(exposure)
    if not ordered.any():
        return 0.0
    return float(2 * (np.arange(1, size + 1) @ ordered) / (size * ordered.sum()) - (size + 1) / size)
