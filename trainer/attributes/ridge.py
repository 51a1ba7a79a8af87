"""The ridge regression from attributes to trained factors.

    B, c = argmin sum_j |v_j - B'g_j - c|^2 + mu |B|^2

v_j are the factors of item j, g_j its attributes, L2-normalised, and c is the constant, which costs nothing. For a
given B the best c is mean(v) - B' mean(g), so that B is the ridge of centred rows: (G'G - n m m' + mu I) B = G'V - n m
mean(v)', with m = mean(g). The columns of B are systems with one left side and are solved by conjugate gradient, which
needs products with the sparse G alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse

from ranking import threads
from ranking.attributes.prior import Prior

_COLUMNS = 16  # of B that are solved together: for a million items, 128 MB per core


def fit(
    features: scipy.sparse.csr_matrix,
    factors: np.ndarray,
    mu: float = 1.0,
    steps: int = 40,
    tolerance: float = 1e-6,
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
    given = features.astype(np.float64)
    transposed = given.T.tocsr()
    means = np.asarray(given.mean(axis=0)).ravel()

    def times(block: np.ndarray) -> np.ndarray:
        centred = transposed @ (given @ block)
        centred -= len(factors) * np.outer(means, means @ block)
        return centred + mu * block

    def solve(start: int) -> None:
        part = factors[:, start : start + _COLUMNS].astype(np.float64)
        mean = part.mean(axis=0)
        right = transposed @ (part - mean)
        solution = _conjugate_gradient(times, right, steps, tolerance)
        table[:-1, start : start + _COLUMNS] = solution
        table[-1, start : start + _COLUMNS] = mean - means @ solution

    threads.each(solve, range(0, factors.shape[1], _COLUMNS))
    return Prior(table)


def _conjugate_gradient(
    times: Callable[[np.ndarray], np.ndarray], right: np.ndarray, steps: int, tolerance: float
) -> np.ndarray:
    """Solve A x = b for each column of `right` [f, c]; `times` returns A applied to a block."""
    solution, residual = np.zeros_like(right), right.copy()
    direction, squares = right.copy(), (right**2).sum(axis=0)
    enough = tolerance**2 * squares
    for _ in range(steps):
        if (squares <= enough).all():
            break
        image = times(direction)
        step = _ratio(squares, (direction * image).sum(axis=0))
        solution += step * direction
        residual -= step * image
        before, squares = squares, (residual**2).sum(axis=0)
        direction = residual + _ratio(squares, before) * direction
    return solution


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, 0 where a column is solved exactly."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
