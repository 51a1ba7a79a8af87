"""lambda: its automatic value, and its size next to the systems that it is added to."""

from __future__ import annotations

import math

import numpy as np

from trainer.als.loop import Factorization
from trainer.als.wals import Side

_RIDGE, _ITEMS = 4.0, 2000  # chosen on nine data sets: benchmarks/results/defaults.json
_HEAVY, _LIGHT = 50.0, 0.005  # the best shares of those data sets are between 0.1 and 9


def automatic(sizes: tuple[int, int], entries: int, unobserved_weight: float, frequency_exponent: float) -> float:
    """Return the lambda for which the lambda_i of a user with the mean number of items is 4 min(1, sqrt(2000 / items)).

    The cells without an entry hold the factors of a user down too, the more so the more items there are.

    Args:
        sizes: users and items. entries: observed cells.
    """
    users, items = sizes
    ridge = _RIDGE * math.sqrt(min(1.0, _ITEMS / max(items, 1)))
    mean = entries / max(users, 1) + unobserved_weight * items
    return float(f"{ridge / max(mean, 1.0) ** frequency_exponent:.6g}")


def describe(state: Factorization) -> str:
    """Return one line on lambda after a fit, with advice if it is out of all proportion."""
    ridge, (users, items) = state.objective.regularization_coeff, shares(state)
    line = f"lambda {ridge:g}: {users:.2g} times the mean diagonal of a user's system, {items:.2g} times of an item's"
    if max(users, items) > _HEAVY:
        return f"{line}; it outweighs the data, so lower training.regularization_coeff"
    if ridge > 0 and min(users, items) < _LIGHT:
        return f"{line}; it hardly counts, so raise training.regularization_coeff"
    return line


def shares(state: Factorization) -> tuple[float, float]:
    """Return lambda_i as a share of the mean diagonal of an average user's system, and of an average item's.

    The system is w0 V'V + sum_obs R C v v' (`trainer.als.wals`), without the entries' own weights.
    """
    first = _share(state, state.rows, state.cols)
    return first, _share(state, state.cols, state.rows)


def _share(state: Factorization, side: Side, fixed: Side) -> float:
    objective, cluster = state.objective, state.cluster
    squares = np.einsum("ij,ij->i", fixed.table, fixed.table, dtype=np.float64)
    sums = cluster.sum(
        np.array([squares.sum(), (fixed.counts * fixed.weights) @ squares, side.weights.sum(), side.counts.sum()])
    )
    everywhere, observed, weights, entries = sums
    diagonal = objective.unobserved_weight * everywhere + observed / side.size * (weights / side.size)
    frequency = max(entries / side.size + objective.unobserved_weight * fixed.size, 1e-30)
    ridge = objective.regularization_coeff * frequency**objective.frequency_exponent
    return float(ridge * state.k / diagonal) if diagonal > 0 else math.inf
