"""Factors from attributes: of an item that nobody has viewed yet, and of a visitor without any views.

A regression B from attributes to trained factors (`trainer.attributes.ridge`) predicts the factors of an item with
attributes g as v = B'g: the prior. Views of users i add what the prior does not explain (for a visitor, the items):

    v = B'g + y,    (w0 U'U + lambda I + sum W_i u_i u_i') y = sum (w0 + W_i) a'_i u_i,
    a'_i = a_i - W_i / (w0 + W_i) u_i.B'g,    W_i = R_i C_j E_ij

which is the fold-in of `ranking.fold_in` with the ratings a' in place of a. With no views y = 0; with many, the prior
no longer matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse

from artifacts.sparse_rows import SparseRows
from ranking.fold_in import Projection


@dataclass(frozen=True)
class Prior:
    """The regression of one side's factors on f attributes."""

    table: np.ndarray  # float32 [f + 1, d], B; the last row is the constant

    def factors(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """Return B'g float32 [n, d] of attributes float32 [n, f], summed in float64."""
        table = self.table.astype(np.float64)
        return (features.astype(np.float64) @ table[:-1] + table[-1]).astype(np.float32)

    def scaled(self, features: scipy.sparse.csr_matrix, scale: float) -> np.ndarray:
        """Return the factors of new items, as long as they count in one list with known ones: float32 [n, d]."""
        return np.float32(scale) * self.factors(features)


def fold_in(prior: np.ndarray, projection: Projection, rows: SparseRows, row_weights: np.ndarray) -> np.ndarray:
    """Return the prior and what the entries add to it, float32 [b, d]; the prior itself for a row without entries.

    Args:
        prior: float32 [b, d], the factors from attributes.
        projection: the other side's table and weights: that of the users to fold items in.
        rows: b rows of the other side's indices. row_weights: float32 [b]: the items' weights C to fold items in.
    """
    owners = np.repeat(np.arange(len(rows)), rows.lengths)
    own = row_weights.astype(np.float64)[owners] * projection.weights[rows.indices] * rows.entry_weights
    whole = projection.objective.unobserved_weight + own
    share = np.divide(own, whole, out=np.zeros_like(own), where=whole > 0)
    residuals = rows.values - share * _products(prior, owners, projection.items, rows.indices)
    return prior + projection.solve(replace(rows, values=residuals.astype(np.float32)), row_weights)


def _products(left: np.ndarray, rows: np.ndarray, right: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return left[r] . right[o] for each pair of rows and others, float64."""
    products = np.empty(len(rows))
    for start in range(0, len(rows), 65536):  # of so many pairs the factors fit into memory
        part = slice(start, start + 65536)
        first, second = left[rows[part]].astype(np.float64), right[others[part]].astype(np.float64)
        products[part] = np.einsum("ij,ij->i", first, second)
    return products
