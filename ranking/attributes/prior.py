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

import numba
import numpy as np
import scipy.sparse

from artifacts.sparse_rows import SparseRows
from ranking.fold_in import Projection
from ranking.heap import FAST
from ranking.machine import prefetch

_AHEAD = 12  # entries whose rows are prefetched, because a table of many rows is in no cache


@dataclass(frozen=True)
class Prior:
    """The regression of one side's factors on f attributes."""

    table: np.ndarray  # float32 [f + 1, d], B; the last row is the constant

    def factors(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """Return B'g float32 [n, d] of attributes float32 [n, f], summed in float64."""
        made = np.empty((features.shape[0], self.table.shape[1]), np.float32)
        _add_up(features.indptr, features.indices, features.data, self.table, made)
        return made

    def of_described(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """Return the factors of rows with attributes, and zeros for the others: float32 [n, d]."""
        return np.where(np.diff(features.indptr)[:, None] > 0, self.factors(features), np.float32(0))

    def scaled(self, features: scipy.sparse.csr_matrix, scale: float) -> np.ndarray:
        """Return the factors of new items, as long as they count in one list with known ones: float32 [n, d]."""
        return np.float32(scale) * self.factors(features)


def fold_in(prior: np.ndarray, projection: Projection, rows: SparseRows, row_weights: np.ndarray) -> np.ndarray:
    """Return v float32 [b, d] of b rows with the weights float32 [b]; the prior itself for a row without entries.

    prior: float32 [b, d], the factors from attributes; zeros are those of the fold-in without attributes.
    """
    w0 = projection.objective.unobserved_weight
    rest = residuals(prior, projection.items, projection.weights, w0, rows, row_weights)
    return prior + projection.solve(rest, row_weights)


def residuals(
    prior: np.ndarray, users: np.ndarray, user_weights: np.ndarray, w0: float, rows: SparseRows, row_weights: np.ndarray
) -> SparseRows:
    """Return rows with the ratings a' in place of a: whoever folds these in and adds the prior, has v.

    Args:
        prior: float32 [b, d], the factors from attributes.
        users: float32 [m, d], those of the other side. user_weights: [m], their weights R.
        rows: b rows of the other side's indices. row_weights: float32 [b]: the items' weights C.
    """
    owners = np.repeat(np.arange(len(rows)), rows.lengths)
    own = row_weights.astype(np.float64)[owners] * user_weights[rows.indices] * rows.entry_weights
    share = np.divide(own, w0 + own, out=np.zeros_like(own), where=own > 0)
    products = np.empty(rows.entries)
    _set_products(prior, users, rows.indptr, rows.indices, products)
    return replace(rows, values=(rows.values - share * products).astype(np.float32))


@numba.njit(**FAST)
def _set_products(prior, users, starts, indices, products):
    """Set products[e] = prior[row] . users[indices[e]] for each entry e of each row."""
    last = len(indices) - 1
    for row in range(len(starts) - 1):
        for entry in range(starts[row], starts[row + 1]):
            prefetch(users, indices[min(entry + _AHEAD, last)])
            total = 0.0
            for c in range(prior.shape[1]):
                total += prior[row, c] * users[indices[entry], c]
            products[entry] = total


@numba.njit(**FAST)
def _add_up(starts, columns, values, table, out):
    """Set out[row] to the last row of the table, and the others times a row's values; summed in float64."""
    total, last = np.empty(table.shape[1]), len(columns) - 1
    for row in range(len(starts) - 1):
        for c in range(len(total)):
            total[c] = table[-1, c]
        for entry in range(starts[row], starts[row + 1]):
            prefetch(table, columns[min(entry + _AHEAD, last)])
            value, column = np.float64(values[entry]), columns[entry]
            for c in range(len(total)):
                total[c] += value * table[column, c]
        for c in range(len(total)):
            out[row, c] = total[c]
