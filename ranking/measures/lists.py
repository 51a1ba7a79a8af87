"""Metrics of top-K lists, one user at a time.

With t items that count as right for a user and hits among the first K of the list (gains are 1):
    precision = hits / K     recall = hits / t     hit_rate = 1 if there is a hit     mrr = 1 / rank of the first hit
    map = sum over the hits of (hits so far / rank) / t
    ndcg = sum over the hits of 1 / log2(rank + 1), over the same sum for min(K, t) hits at the top
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows


class Columns(NamedTuple):
    """The values of lists at each K, float64 [..., ks] each."""

    precision: np.ndarray
    recall: np.ndarray
    hit_rate: np.ndarray
    mrr: np.ndarray
    map: np.ndarray
    ndcg: np.ndarray
    information: np.ndarray  # sum of -log2 of the share of visitors who have each recommended item
    recommendations: np.ndarray  # number of recommended items

    @classmethod
    def of(cls, values: np.ndarray) -> Columns:
        """Return the columns of values float64 [..., ks, columns], as views."""
        return cls(*np.moveaxis(values, -1, 0))


USER_METRICS = Columns._fields[:6]


def of_lists(lists: np.ndarray, truth: SparseRows, ks: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Return the metrics of lists int [b, k], float64 [b, ks, columns] in the order of `Columns`.

    Args:
        lists: itemIds, best first; -1 after the last. truth: the items that are right for each of the b users.
        ks: int64 [ks], ascending, the greatest of them k.
        information: float64 [m], -log2 of the share of visitors who have each item.
    """
    last, ranks, held_out = ks - 1, np.arange(1, lists.shape[1] + 1), truth.lengths[:, None]
    given, discounts = lists >= 0, 1 / np.log2(ranks + 1)
    hits = are_hits(lists, truth, len(information))
    counts = hits.cumsum(1)
    columns = Columns(
        precision=counts[:, last] / ks,
        recall=counts[:, last] / held_out,
        hit_rate=counts[:, last] > 0,
        mrr=(hits / ranks).max(1, keepdims=True) * (counts[:, last] > 0),
        map=(hits * counts / ranks).cumsum(1)[:, last] / held_out,
        ndcg=(hits * discounts).cumsum(1)[:, last] / discounts.cumsum()[np.minimum(ks, held_out) - 1],
        information=np.where(given, information[lists], 0).cumsum(1)[:, last],
        recommendations=given.cumsum(1)[:, last],
    )
    return np.stack(columns, axis=-1, dtype=np.float64)


def are_hits(lists: np.ndarray, truth: SparseRows, items: int) -> np.ndarray:
    """Return which entries of lists int [b, k] are right, bool [b, k]; see `of_lists`. items: the number of all."""
    first_cell = np.arange(len(lists)) * items  # a cell of users and items as one number
    cells, of_truth = first_cell[:, None] + lists, np.repeat(first_cell, truth.lengths) + truth.indices
    return (lists >= 0) & (np.append(of_truth, -1)[np.searchsorted(of_truth, cells)] == cells)
