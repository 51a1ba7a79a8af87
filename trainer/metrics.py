"""Ranking metrics on held-out entries, over all items, those of training left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.kernels import compiled
from trainer.sparse import SparseRows

_USERS, _SCORES = 512, 1 << 26  # at most so many users are scored at once, and so many pairs


@dataclass(frozen=True)
class Ranking:
    """Means over the users with held-out entries.

    recall: hits among the first K / held-out entries. ndcg: with gains 1 and the ideal of min(K, held-out entries).
    """

    recall: float
    ndcg: float
    users: int


@compiled
def _rank(scores, users, seen_indptr, seen, truth_indptr, truth, top, totals):
    """Adds recall and NDCG of a block of users to `totals`; scores float32 [b, m] is changed."""
    size = len(top)
    best = np.empty(size, np.float32)
    for row in range(len(users)):
        user, line = users[row], scores[row]
        for place in range(seen_indptr[user], seen_indptr[user + 1]):
            line[seen[place]] = np.float32(-1e30)
        best[:] = np.float32(-1e29)
        top[:] = -1
        for item in range(len(line)):
            score = line[item]
            if score > best[size - 1]:
                place = size - 1
                while place > 0 and best[place - 1] < score:
                    best[place], top[place] = best[place - 1], top[place - 1]
                    place -= 1
                best[place], top[place] = score, item
        low, high = truth_indptr[user], truth_indptr[user + 1]
        hits, gain, ideal = 0, 0.0, 0.0
        for place in range(size):
            if place < high - low:
                ideal += 1 / np.log2(place + 2.0)
            for other in range(low, high):
                if truth[other] == top[place]:
                    hits += 1
                    gain += 1 / np.log2(place + 2.0)
        totals[0] += hits / (high - low)
        totals[1] += gain / ideal


def ranking(users: np.ndarray, items: np.ndarray, held_out: SparseRows, seen: SparseRows, k: int = 20) -> Ranking:
    """Recall@k and NDCG@k.

    Args:
        users, items: float32 [n, d] and [m, d], in the same coordinates.
        held_out, seen: rows keyed 0 .. n - 1 in order; `seen` is never recommended.
    """
    who = np.flatnonzero(held_out.lengths).astype(np.int64)
    top, totals = np.empty(k, np.int64), np.zeros(2)
    size = max(1, min(_USERS, _SCORES // max(len(items), 1)))
    for start in range(0, len(who), size):
        block = who[start : start + size]
        scores = users[block] @ items.T
        _rank(scores, block, seen.indptr, seen.indices, held_out.indptr, held_out.indices, top, totals)
    recall, ndcg = totals / max(len(who), 1)
    return Ranking(float(recall), float(ndcg), len(who))
