"""Other ways to rank items that nobody has viewed: orders float32 [n] that are the same for all, and a content kNN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from artifacts.sparse_rows import SparseRows
from ranking.heap import Best

CATEGORY, KNN, NEWEST = "popularity by category", "content kNN", "newest first"
_USERS = 1024  # whose scores are in memory at once


def by_category(categories: Sequence[str | None], views: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
    """Return the mean views of the category of each hidden item, float32 [h]; None if no item has a category.

    Args:
        categories: [m], null for an item without one; these are a category of their own. views: int [m], of the
            others; hidden items have none. hidden: bool [m].
    """
    names, numbers = np.unique([name or "" for name in categories], return_inverse=True)
    if names.tolist() == [""]:
        return None
    totals = np.bincount(numbers, weights=np.where(hidden, 0, views), minlength=len(names))
    counts = np.bincount(numbers, weights=~hidden, minlength=len(names))
    return (totals / np.maximum(counts, 1))[numbers[hidden]].astype(np.float32)


def newest(first_time_ms: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
    """Return the age of each hidden item as a score, float32 [h]: 0 for the newest; None if no item has a time."""
    times = first_time_ms[hidden]
    if not np.isfinite(times).any():
        return None
    return (np.nan_to_num(times, nan=np.nanmin(times)) - np.nanmax(times)).astype(np.float32)


def content_knn(histories: SparseRows, features: scipy.sparse.csr_matrix, hidden: np.ndarray, k: int) -> np.ndarray:
    """Return the k hidden items nearest to what each of b users has, int64 [b, k]; -1 after the last.

    The score is the sum of the cosines of the hidden item's features with those of the user's items.
    """
    wanted, lists = features[hidden].T.tocsc(), Best.empty(len(histories), k).indices
    for start in range(0, len(histories), _USERS):
        rows = histories.between(start, min(start + _USERS, len(histories)))
        shape = len(rows), features.shape[0]
        have = scipy.sparse.csr_matrix((np.ones(rows.entries, np.float32), rows.indices, rows.indptr), shape)
        scores = (have @ features @ wanted).toarray()
        first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        lists[start : start + len(rows), : first.shape[1]] = first
    return lists
