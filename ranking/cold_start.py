"""The rule that answers a visitor or an item: one rule for batch prediction and for serving (docs/serving.md).

Only comparisons and arithmetic are used, so that NumPy's arrays and TensorFlow's tensors work alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

FACTORS = "factors"  # the visitor's (the item's) own factors, as trained
PROJECTION = "projection"  # factors solved for from the visitor's ratings, with the items' factors as they are
POPULARITY = "popularity"  # the items that most visitors have
SEGMENT = "popularity in segment"  # the items that most visitors of the visitor's country have, or the like
ATTRIBUTES = "attributes"  # factors from the attributes of an item without visitors, or of a visitor without items
NEWEST = "newest"  # the last places of a list, for new items without attributes: named after the rule of the list
MEAN_ITEM = "mean item"  # the mean of all items' factors, for an item of which nothing is known


class Rules(NamedTuple):
    """The rule of each visitor: four bool [n], exactly one of which is true."""

    factors: Any
    projection: Any
    attributes: Any
    popularity: Any


def rules(
    known: Any, ratings: Any, site_ratings: int, min_ratings: int, min_site_ratings: int, described: Any = False
) -> Rules:
    """Choose own factors if there are enough ratings, else a projection, else attributes, else popularity.

    Args:
        known: bool [n], whether the visitor was in the training data.
        ratings: int [n], the visitor's ratings.
        site_ratings: all ratings of the site; with `min_site_ratings` or fewer, everybody gets popularity.
        min_ratings: a visitor's own factors answer if there are more ratings than this.
        described: bool [n], whether the model has factors from the visitor's attributes.
    """
    learned, rated = site_ratings > min_site_ratings, ratings > 0
    enough = known & rated & (ratings > min_ratings) & learned
    projected = rated & ~enough & learned
    by_attributes = described & ~rated & learned
    return Rules(enough, projected, by_attributes, ~(enough | projected | by_attributes))


def by_attributes(new_visitors: str) -> str:
    """Return the name of the rule `attributes` of `Rules`, by the setting."""
    return SEGMENT if new_visitors == "segment" else ATTRIBUTES


def with_newest(rule: str) -> str:
    """Return the name of a rule for a list whose last places have the newest items."""
    return f"{rule}, {NEWEST}"


def mean_item(factors: Any) -> Any:
    """Return the mean of the items' factors [n, d], float32 [d], summed in float64."""
    return factors.mean(axis=0, dtype="float64").astype("float32")
