"""Metrics of top-K lists, a user at a time, and their sums by groups of users, from which means and intervals come.

With t held-out items of a user and hits among the first K of the list (gains are 1):
    precision = hits / K     recall = hits / t     hit_rate = 1 where there is a hit     mrr = 1 / rank of the first
    map = sum over the hits of (hits so far / rank) / t
    ndcg = sum over the hits of 1 / log2(rank + 1), over the same sum for min(K, t) hits at the top
novelty is the mean of -log2(visitors of the item / visitors) over all that is recommended (Vargas & Castells 2011);
coverage the share of the catalogue that is recommended to anybody; gini how unevenly, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.evaluation.ranking import compiled
from trainer.tuning.validation_split import hashes

USER_METRICS = ("precision", "recall", "hit_rate", "mrr", "map", "ndcg")
ALL_METRICS = (*USER_METRICS, "novelty", "coverage", "gini")
RMSE = "rmse"
ACTIVITY = {"1": 1, "2-5": 5, "6-20": 20, "21+": None}  # by the items in train; greatest of each

COLUMNS = len(USER_METRICS) + 2  # and the sum of the recommendations' information, and their number
_BUCKETS = 2048  # of users, which resampling takes whole
_PARTS = 20  # of users, for what only a set of lists has


@compiled
def of_lists(top, indptr, truth, ks, information, out):
    """Fills out float64 [b, len(ks) * 8] from lists int32 [b, k]; `truth` ascends in a row, `ks` ascends."""
    for row in range(len(top)):
        own = truth[indptr[row] : indptr[row + 1]]
        hits, first, precisions, gain, ideal, told, given, column = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0
        for place in range(top.shape[1]):
            item, rank = top[row, place], place + 1.0
            discount = 1 / np.log2(rank + 1)
            if place < len(own):
                ideal += discount
            if item >= 0:
                told += information[item]
                given += 1
                found = np.searchsorted(own, item)
                if found < len(own) and own[found] == item:
                    hits += 1
                    first = max(first, 1 / rank)
                    precisions += hits / rank
                    gain += discount
            if place + 1 == ks[column]:
                cells = out[row, 8 * column : 8 * column + 8]
                cells[0], cells[1], cells[2] = hits / rank, hits / len(own), min(hits, 1)
                cells[3], cells[4], cells[5] = first, precisions / len(own), gain / ideal
                cells[6], cells[7] = told, given
                column += 1


@compiled
def _expose(top, parts, ks, exposure):
    """Adds each recommendation to exposure int32 [parts, len(ks), m], at the first K that holds its place."""
    for row in range(len(top)):
        column = 0
        for place in range(top.shape[1]):
            if place == ks[column]:
                column += 1
            if top[row, place] >= 0:
                exposure[parts[row], column, top[row, place]] += 1


@dataclass(frozen=True)
class Users:
    """Which bucket, part and activity the users int64 [b] of a block belong to, int64 [b] each."""

    buckets: np.ndarray
    parts: np.ndarray
    activity: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, items: np.ndarray, before: int, total: int, seed: int) -> Users:
        """items int64 [b]: of each in train. before: users seen so far, of `total`: few have a bucket each."""
        buckets = np.arange(before, before + len(keys))
        if total > _BUCKETS:  # drawn by a hash: neighbours in a vocabulary are alike
            buckets = (hashes(seed, keys, np.zeros_like(keys)) * _BUCKETS).astype(np.int64)
        parts = (hashes(seed + 1, keys, np.zeros_like(keys)) * _PARTS).astype(np.int64)
        limits = [limit for limit in ACTIVITY.values() if limit is not None]
        return cls(buckets, parts, np.searchsorted(limits, items))


class Sums:
    """What is summed of one system.

    cells float64 [buckets, activities, columns], counts float64 [buckets, activities]: users. exposure int32 [parts,
    ks, items]. errors float64 [buckets, 2]: squared errors of ratings and how many.
    """

    def __init__(self, ks: Sequence[int], information: np.ndarray, users: int):
        """ks: ascending. information float64 [m]: -log2 of the share of visitors who have each item."""
        self.ks, self._information = np.array(ks, np.int64), information
        buckets = min(users, _BUCKETS)
        self.cells = np.zeros((buckets, len(ACTIVITY), COLUMNS * len(ks)))
        self.counts = np.zeros((buckets, len(ACTIVITY)))
        self.exposure = np.zeros((_PARTS, len(ks), len(information)), np.int32)
        self.errors = np.zeros((buckets, 2))

    def add(self, top: np.ndarray, truth: SparseRows, users: Users) -> None:
        """Takes the lists int32 [b, k] of users with what is held out of them."""
        values = np.empty((len(top), COLUMNS * len(self.ks)))
        of_lists(top, truth.indptr, truth.indices, self.ks, self._information, values)
        np.add.at(self.cells, (users.buckets, users.activity), values)
        np.add.at(self.counts, (users.buckets, users.activity), 1)
        _expose(top, users.parts, self.ks, self.exposure)

    def add_errors(self, errors: np.ndarray, truth: SparseRows, users: Users) -> None:
        """Takes errors float64 [entries] of the ratings held out."""
        owners = np.repeat(users.buckets, truth.lengths)
        np.add.at(self.errors, owners, np.stack([errors**2, np.ones_like(errors)], 1))


def information(visitors: np.ndarray, users: int) -> np.ndarray:
    """float64 [m]: -log2(visitors of the item / users), of an item without visitors as if it had one."""
    return -np.log2(np.maximum(visitors, 1) / users)


def coverage(exposure: np.ndarray) -> float:
    """The share of the items int [m] that are recommended at all."""
    return float(np.count_nonzero(exposure) / len(exposure))


def gini(exposure: np.ndarray) -> float:
    """How unevenly recommendations int [m] are spread over all items: 0 evenly, 1 all on one.

    G = 2 sum_i i x_i / (m sum x) - (m + 1) / m, x ascending.
    """
    ordered, size = np.sort(exposure).astype(np.float64), len(exposure)
    if not ordered.any():
        return 0.0
    return float(2 * (np.arange(1, size + 1) @ ordered) / (size * ordered.sum()) - (size + 1) / size)
