"""Which rule answers a visitor or an item: one rule for batch prediction and for serving (docs/serving.md).

Only comparisons and arithmetic, so that NumPy's arrays and TensorFlow's tensors are taken alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

FACTORS = "factors"  # the visitor's (the item's) own, as trained
PROJECTION = "projection"  # the visitor's views, solved for with the items' factors as they are
POPULARITY = "popularity"  # the items that most visitors have
MEAN_ITEM = "mean item"  # the mean of all items' factors, for an item that nobody viewed yet


class Rules(NamedTuple):
    """By which rule each visitor is answered: bool [n] each, of which one is true."""

    factors: Any
    projection: Any
    popularity: Any


def rules(known: Any, ratings: Any, site_ratings: int, min_ratings: int, min_site_ratings: int) -> Rules:
    """In this order: own factors with enough ratings, else projected from what there is, else popularity.

    Args:
        known: bool [n], whether the visitor was trained on.
        ratings: int [n], how many the visitor has.
        site_ratings: how many there are in all; of a site with `min_site_ratings` or fewer nothing was learned.
        min_ratings: own factors count where the visitor has more than this.
    """
    learned, some = site_ratings > min_site_ratings, ratings > 0
    enough = known & some & (ratings > min_ratings) & learned
    projected = some & ~enough & learned
    return Rules(enough, projected, ~enough & ~projected)


def mean_item(factors: Any) -> Any:
    """The mean of the items' factors [n, d], float32 [d]; summed in float64."""
    return factors.mean(axis=0, dtype="float64").astype("float32")
