"""Recall and NDCG of factors on held-out entries, over all items, those of training left out: while training goes on.

The lists and the metrics are those of trainer.evaluate (trainer/evaluation), without its intervals and baselines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.evaluation import metrics
from trainer.evaluation import ranking as lists

_USERS, _SCORES = 512, 1 << 26  # at most so many users are scored at once, and so many pairs
_RECALL, _NDCG = (metrics.USER_METRICS.index(name) for name in ("recall", "ndcg"))


@dataclass(frozen=True)
class Ranking:
    """Means over the users with held-out entries.

    recall: hits among the first K / held-out entries. ndcg: with gains 1 and the ideal of min(K, held-out entries).
    """

    recall: float
    ndcg: float
    users: int


def ranking(users: np.ndarray, items: np.ndarray, held_out: SparseRows, seen: SparseRows, k: int = 20) -> Ranking:
    """Recall@k and NDCG@k.

    Args:
        users, items: float32 [n, d] and [m, d], in the same coordinates.
        held_out, seen: rows keyed 0 .. n - 1 in order; `seen` is never recommended.
    """
    who, totals = np.flatnonzero(held_out.lengths), np.zeros(metrics.COLUMNS)
    ks, nothing = np.array([k]), np.zeros(len(items))
    size = max(1, min(_USERS, _SCORES // max(len(items), 1)))
    for start in range(0, len(who), size):
        block = who[start : start + size]
        scores, top = users[block] @ items.T, np.empty((len(block), k), np.int32)
        own, truth = seen.take(block), held_out.take(block)
        lists.of_scores(scores, own.indptr, own.indices, top)
        values = np.empty((len(block), metrics.COLUMNS))
        metrics.of_lists(top, truth.indptr, truth.indices, ks, nothing, values)
        totals += values.sum(axis=0)
    recall, ndcg = totals[[_RECALL, _NDCG]] / max(len(who), 1)
    return Ranking(float(recall), float(ndcg), len(who))
