"""Formulas of ratings and weights: of a pair's amount, and of a pair whose amount grew since it was rated.

They are the same for NumPy, which the server uses for the views of today, and for the graph that TF-Transform stores.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from configs.settings import RatingSettings


def rate(amounts: Any, median: Any, settings: RatingSettings, maths: Any = np) -> Any:
    """Return the ratings of amounts, float32[n] both.

    median: of all amounts; kind median needs it. maths: the module of the arrays, numpy or tensorflow.math.
    """
    if settings.kind == "median":
        return maths.minimum(settings.factor * amounts / median, settings.cap)
    if settings.kind == "log":
        return maths.log1p(amounts / settings.epsilon)
    if settings.kind == "binary":
        return amounts**0
    return settings.factor * amounts  # linear; ordinal answers are ratings already


def weigh(relative: Any, maths: Any = np) -> Any:
    """Return the weights E in the loss of amounts as parts of the median, float32[n]: log2(1 + amount / median)."""
    return maths.log1p(relative) / math.log(2)


def grown_weights(weights: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return the weights, float32[n], of pairs that had `weights` and grew by amounts as parts of the median."""
    before = np.expm1(weights.astype(np.float64) * math.log(2))
    return weigh(np.maximum(before + relative, 0)).astype(np.float32)


def grown(ratings: np.ndarray, amounts: np.ndarray, median: float | None, settings: RatingSettings) -> np.ndarray:
    """Return the ratings, float32[n], of pairs that had `ratings` and whose amounts grew by `amounts`.

    The formulas are sums in the amount, so this is the rating of the whole amount: also where the cap of kind median
    was reached. An amount below 0 takes interest away; a rating of 0 or below means that none is left.
    """
    if settings.kind == "binary":
        return ratings
    if settings.kind == "log":
        whole = np.expm1(ratings.astype(np.float64)) + amounts / settings.epsilon
        return np.log1p(np.maximum(whole, 0)).astype(np.float32)
    added = amounts / (median or 1) if settings.kind == "median" else amounts
    grew = ratings + settings.factor * added
    return (np.minimum(grew, settings.cap) if settings.kind == "median" else grew).astype(np.float32)
