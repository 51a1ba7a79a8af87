"""Explanations: the contributions of a visitor's own items to the score of another item."""

from __future__ import annotations

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.fold_in import Projection
from ranking.heap import Best


def contributions(projection: Projection, row: SparseRows, row_weight: float, wanted: np.ndarray) -> np.ndarray:
    """Return the contribution of each of a visitor's n items to the scores of w others: float64 [w, n].

    v_i . u = sum_j (w0 + R C_j E_j) a_j v_i' A^-1 v_j, with A the left side of the visitor's system (`fold_in`). A
    row sums to the score of the visitor's projected factors.

    Args:
        row: one row, the visitor's items, ratings a and weights E. row_weight: R.
        wanted: float32 [w, d], the factors of the others.
    """
    indices, ratings = row.indices, row.values
    scale = 1 / np.sqrt(projection.shared + projection.ridges(np.array([len(indices)]))[0])
    tables = projection.items[indices], wanted
    own, asked = ((table.astype(np.float64) @ projection.basis) * scale for table in tables)
    weights = row_weight * projection.weights[indices] * row.entry_weights
    if len(indices) < len(scale):
        roots = np.sqrt(weights)
        inner = np.eye(len(indices)) + roots[:, None] * (own @ own.T) * roots
        # Y A^-1 X' of Y own, X asked:  Y X' - Y Y' W^1/2 (I + W^1/2 Y Y' W^1/2)^-1 W^1/2 Y X'
        products = own @ asked.T
        solved = products - (own @ own.T * roots) @ np.linalg.solve(inner, roots[:, None] * products)
    else:
        inner = np.eye(len(scale)) + own.T @ (weights[:, None] * own)
        solved = own @ np.linalg.solve(inner, asked.T)
    return (((projection.objective.unobserved_weight + weights) * ratings)[:, None] * solved).T


def greatest(shares: np.ndarray, indices: np.ndarray, count: int) -> Best:
    """Return the items of the greatest contributions, up to `count`; ties go to the lower index.

    shares: float [w, n]. indices: int [n], ascending, the items that contributed them.
    """
    rounded = shares.astype(np.float32)
    first = np.argsort(-rounded, axis=1, kind="stable")[:, :count]
    return Best(indices[first], np.take_along_axis(rounded, first, 1))
