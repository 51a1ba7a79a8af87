"""Factors of a visitor from the visitor's own row, with the items' as they are: what WALS's sweep over users does.

    (w0 G + lambda_i I + R_i sum C_j v_j v_j') u_i = sum (w0 + R_i C_j) a_j v_j,    G = V'V,
    lambda_i = lambda (n_i + w0 m)^nu

(docs/wals.md; the sums are over the n_i items that the visitor has.) In the basis Q of G = Q diag(l) Q' the part
that all rows share is the diagonal D_i = w0 l + lambda_i. With Y = V Q D_i^(-1/2), of the row's items only, it is

    u = Q D_i^(-1/2) Y' h,    (Y Y' + W^-1) h = W^-1 r,    W = R_i C,  r = (w0 + W) a

for a row with fewer items than dimensions, a system of the row's size; else the system of the dimensions is solved.
All is float64, so that the rounded answer is the one that the SavedModel computes by another way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from ranking import topk

_COMPILED = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"nnan", "nsz", "reassoc", "contract"}}
_ROWS = 256  # of a piece of work


@dataclass(frozen=True)
class Objective:
    """The loss's constants by the trainer's names: w0, lambda, nu."""

    unobserved_weight: float
    regularization_coeff: float
    frequency_exponent: float


class Projection:
    """Solves rows on a table of items.

    Args:
        items: float32 [m, d].
        weights: float32 [m], C.
    """

    def __init__(self, items: np.ndarray, weights: np.ndarray, objective: Objective):
        self._items, self._weights, self._objective = items, weights.astype(np.float64), objective
        gramian = np.zeros((items.shape[1],) * 2)
        for start in range(0, len(items), 4096):
            block = items[start : start + 4096].astype(np.float64)
            gramian += block.T @ block
        eigenvalues, self._basis = np.linalg.eigh(gramian)
        self._shared = objective.unobserved_weight * np.maximum(eigenvalues, 0)
        # So small beside the rest that it only matters where the system is singular.
        self._floor = max(1e-10 * float(np.trace(gramian)) / len(gramian), 1e-30)

    def solve(
        self, offsets: np.ndarray, places: np.ndarray, ratings: np.ndarray, row_weights: np.ndarray
    ) -> np.ndarray:
        """Factors float32 [b, d]; zeros for a row without entries.

        Args:
            offsets: int64 [b + 1]; row r has the places and ratings offsets[r]:offsets[r + 1].
            places: int64 [n], rows of the table. ratings: float32 [n]. row_weights: float32 [b], R.
        """
        used, columns = np.unique(places, return_inverse=True)
        table = np.empty((len(used), self._items.shape[1]))
        weights, ridge = self._weights[used], self._ridges(np.diff(offsets))
        turned = np.zeros((len(row_weights), self._items.shape[1]))
        factors = np.empty(turned.shape, np.float32)

        def turn(start: int) -> None:
            some = slice(start, start + _ROWS)
            np.matmul(self._items[used[some]].astype(np.float64), self._basis, out=table[some])

        def piece(start: int) -> None:
            rows = np.arange(start, min(start + _ROWS, len(row_weights)))
            data = offsets, columns, ratings.astype(np.float64), row_weights.astype(np.float64)
            _solve_rows(rows, *data, table, weights, self._shared, ridge, self._objective.unobserved_weight, turned)

            factors[rows] = turned[rows] @ self._basis.T

        # BLAS's own threads would go on spinning for a while after each product, on cores that others use.
        topk.on_all_cores(turn, range(0, len(used), _ROWS))
        topk.on_all_cores(piece, range(0, len(row_weights), _ROWS))
        return factors

    def _ridges(self, counts: np.ndarray) -> np.ndarray:
        w0, objective = self._objective.unobserved_weight, self._objective
        frequency = np.maximum(counts + w0 * len(self._items), 1e-30)
        return objective.regularization_coeff * frequency**objective.frequency_exponent + self._floor

    def shares(self, places: np.ndarray, ratings: np.ndarray, row_weight: float, wanted: np.ndarray) -> np.ndarray:
        """What each item of a row carries of the score of others: float64 [wanted, n], summing to the scores.

        v_i . u = sum_j (w0 + R C_j) a_j v_i' A^-1 v_j, with A the left side of the row's system.

        Args:
            places: int64 [n], what the visitor has. ratings: float32 [n]. wanted: int64 [wanted], places.
        """
        w0, table = self._objective.unobserved_weight, self._items
        scale = 1 / np.sqrt(self._shared + self._ridges(np.array([len(places)]))[0])
        own = (table[places].astype(np.float64) @ self._basis) * scale
        asked = (table[wanted].astype(np.float64) @ self._basis) * scale
        weights = row_weight * self._weights[places]
        if len(places) < len(scale):
            roots = np.sqrt(weights)
            inner = np.eye(len(places)) + roots[:, None] * (own @ own.T) * roots
            # Y A^-1 X' of X asked, Y own:  Y X' - Y Y' W^1/2 (I + W^1/2 Y Y' W^1/2)^-1 W^1/2 Y X'
            products = own @ asked.T
            solved = products - (own @ own.T * roots) @ np.linalg.solve(inner, roots[:, None] * products)
        else:
            inner = np.eye(len(scale)) + own.T @ (weights[:, None] * own)
            solved = own @ np.linalg.solve(inner, asked.T)
        return (((w0 + weights) * ratings)[:, None] * solved).T


@numba.njit(**_COMPILED)
def _solve_rows(rows, offsets, columns, ratings, row_weights, table, weights, shared, ridge, w0, out):
    """out[row] = D^(-1/2) t of some rows, in the basis."""
    d, longest = table.shape[1], 0
    for row in rows:
        longest = max(longest, offsets[row + 1] - offsets[row])
    size = min(longest, d)
    system, right, scale = np.empty((size, size)), np.empty(max(size, 1)), np.empty(d)
    y = np.empty((size, d))
    for row in rows:
        low, n = offsets[row], offsets[row + 1] - offsets[row]
        if n == 0:
            continue
        for c in range(d):
            scale[c] = 1 / np.sqrt(shared[c] + ridge[row])
        if n < d:
            _by_entries(
                low, n, columns, ratings, row_weights[row], table, weights, w0, scale, y, system, right, out[row]
            )
        else:
            _by_dimensions(
                low, n, columns, ratings, row_weights[row], table, weights, w0, scale, system, right, out[row]
            )


@numba.njit(**_COMPILED)
def _by_entries(low, n, columns, ratings, row_weight, table, weights, w0, scale, y, system, right, out):
    """The system (I + Z Z') g = W^(-1/2) r with Z = W^(1/2) Y, and t = Z' g."""
    d = len(scale)
    for e in range(n):
        column = columns[low + e]
        weight = max(row_weight * weights[column], 1e-12 * w0 + 1e-30)  # an entry of weight 0 keeps its place
        root = np.sqrt(weight)
        right[e] = (w0 + row_weight * weights[column]) * ratings[low + e] / root
        for c in range(d):
            y[e, c] = root * scale[c] * table[column, c]
    for e in range(n):
        for f in range(e + 1):
            total = 0.0
            for c in range(d):
                total += y[e, c] * y[f, c]
            system[e, f] = total
        system[e, e] += 1
    _factor_and_solve(system, right, n)
    for c in range(d):
        out[c] = 0
    for e in range(n):
        for c in range(d):
            out[c] += right[e] * y[e, c]
    for c in range(d):
        out[c] *= scale[c]


@numba.njit(**_COMPILED)
def _by_dimensions(low, n, columns, ratings, row_weight, table, weights, w0, scale, system, right, out):
    """The system (I + Y' W Y) t = Y' r."""
    d = len(scale)
    for c in range(d):
        right[c] = 0
        for f in range(c + 1):
            system[c, f] = 0
        system[c, c] = 1
    for e in range(n):
        column = columns[low + e]
        weight = row_weight * weights[column]
        target = (w0 + weight) * ratings[low + e]
        for c in range(d):
            out[c] = scale[c] * table[column, c]
        for c in range(d):
            right[c] += target * out[c]
            product = weight * out[c]
            for f in range(c + 1):
                system[c, f] += product * out[f]
    _factor_and_solve(system, right, d)
    for c in range(d):
        out[c] = scale[c] * right[c]


@numba.njit(**_COMPILED)
def _factor_and_solve(system, right, n):
    """right <- system^-1 right, by Cholesky's factor in the lower triangle; no eigenvalue is below 1."""
    for i in range(n):
        for j in range(i + 1):
            total = system[i, j]
            for c in range(j):
                total -= system[i, c] * system[j, c]
            system[i, j] = np.sqrt(total) if i == j else total / system[j, j]
    for i in range(n):
        total = right[i]
        for c in range(i):
            total -= system[i, c] * right[c]
        right[i] = total / system[i, i]
    for i in range(n - 1, -1, -1):
        right[i] /= system[i, i]
        for c in range(i):
            right[c] -= right[i] * system[i, c]
