"""The ridge regression from attributes to trained factors.

    B, c = argmin sum_j |v_j - B'g_j - c|^2 + mu |B|^2

v_j are the factors of item j, g_j its attributes, L2-normalised, and c is the constant, which costs nothing. For a
given B the best c is mean(v) - B' mean(g), so that B is the ridge of centred rows: (G'G - n m m' + mu I) B = G'V - n m
mean(v)', with m = mean(g). The columns of B are systems with one left side and are solved by conjugate gradient, which
needs products with the sparse G alone. Its early steps find what ranks well: more exact solutions rank no better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse

from ranking import threads
from ranking.attributes.prior import Prior

_COLUMNS = 16  # of B that are solved together: for a million items, 64 MB per core


def fit(
    features: scipy.sparse.csr_matrix,
    factors: np.ndarray,
    mu: float = 1.0,
    steps: int = 40,
    tolerance: float = 0.02,
) -> Prior:
    """Return the regression of factors float32 [n, d] on features float32 [n, f].

    Args:
        mu: the penalty, above 0.
        steps: the most steps of conjugate gradient.
        tolerance: a column of B is done when its residual is this share of its right side.
    """
    table = np.zeros((features.shape[1] + 1, factors.shape[1]), np.float32)
    if not len(factors):
        return Prior(table)
    transposed, (count, width) = features.T, features.shape  # a view: its product adds each row where its features are
    means = np.bincount(features.indices, features.data, width) / count
    diagonal = np.bincount(features.indices, features.data**2, width) - count * means**2 + mu
    centre, scaled = means.astype(np.float32), (count * means).astype(np.float32)[:, None]

    def times(block: np.ndarray) -> np.ndarray:
        product = transposed @ (features @ block)
        product -= scaled * (centre @ block)
        product += np.float32(mu) * block
        return product

    def solve(start: int) -> None:
        part = factors[:, start : start + _COLUMNS]
        mean = part.mean(axis=0, dtype=np.float64)
        right = transposed @ (part - mean.astype(np.float32))
        solution = _conjugate_gradient(times, right, (1 / diagonal).astype(np.float32)[:, None], steps, tolerance)
        table[:-1, start : start + _COLUMNS] = solution
        table[-1, start : start + _COLUMNS] = mean - means @ solution

    threads.each(solve, range(0, factors.shape[1], _COLUMNS))
    return Prior(table)


def _conjugate_gradient(
    times: Callable[[np.ndarray], np.ndarray], right: np.ndarray, inverse: np.ndarray, steps: int, tolerance: float
) -> np.ndarray:
    """Solve A x = b for each column of `right` [f, c], all float32; `times` returns A applied to a block.

    inverse: [f, 1], 1 / the diagonal of A, which is the preconditioner: frequent features have large entries.
    """
    solution, residual = np.zeros_like(right), right.copy()
    direction = inverse * right
    products, enough = _dots(right, direction), tolerance**2 * _dots(right, right)
    for _ in range(steps):
        if (_dots(residual, residual) <= enough).all():
            break
        image = times(direction)
        step = _ratio(products, _dots(direction, image))
        solution += step * direction
        image *= step
        residual -= image
        np.multiply(inverse, residual, out=image)
        before, products = products, _dots(residual, image)
        direction *= _ratio(products, before)
        direction += image
    return solution


def _dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product of each column with the one of the other block, float32 [c]."""
    return np.einsum("ij,ij->j", left, right)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, 0 where a column is solved exactly."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
