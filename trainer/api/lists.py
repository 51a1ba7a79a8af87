"""Ordered answers of a trained model, by the exact top K that batch prediction uses, too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import similarity
from ranking.heap import Best
from ranking.topk import top_k
from trainer.inputs.ids import Ids


class Lists(NamedTuple):
    """Answers; row i is the list of the i-th id that was asked about.

    Attributes:
        ids: [n, k], best first; after the last entry None, or -1 where ids are whole numbers.
        scores: float32 [n, k]; -inf after the last entry.
    """

    ids: np.ndarray
    scores: np.ndarray


def recommend(users: np.ndarray, items: np.ndarray, left_out: SparseRows, k: int, ids: Ids) -> Lists:
    """Return the k items of the greatest scores for each user; equal scores go to the item with the lower index.

    Args:
        users: float32 [n, d]. items: float32 [m, d], with the ids.
        left_out: n rows of the items that each user is not given.
    """
    return _lists(top_k(users, items, left_out, _whole(k)), ids)


def similar(items: np.ndarray, asked: np.ndarray, k: int, ids: Ids) -> Lists:
    """Return the k items of the greatest cosines with each asked item int64 [n], without itself."""
    directions = similarity.directions(items)
    return _lists(top_k(directions[asked], directions, SparseRows.single(asked), _whole(k)), ids)


def _lists(best: Best, ids: Ids) -> Lists:
    return Lists(ids.at(best.indices), best.scores)


def _whole(k: int) -> int:
    if isinstance(k, bool) or int(k) != k or k < 1:
        raise ValueError(f"k is {k}; it must be a whole number of at least 1")
    return int(k)
