"""One list of known and of new items: factors of known items, the length of new factors, and their number.

Factors from attributes are shorter than trained ones, because a regression predicts less than it was shown. Unscaled,
new items would hardly be in any list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ranking import threads
from ranking.heap import Best

_ROWS = 1 << 14  # that a product adds up in float32
_MILLION = 1_000_000  # so that the graph's integers and Python's round alike


class Reach(NamedTuple):
    """The items that attributes count for: in whole up to some views, and not at all from a greater number on.

    Both are multiples of the setting few_views.
    """

    whole: float
    none: float

    def nearness(self, views: np.ndarray, few_views: int) -> np.ndarray:
        """Return how far known items go from their trained direction to that of attributes and views: float [m].

        In between it goes down as 1 / views: what attributes tell of an item is worth less, the more its visitors tell.
        """
        multiples = self.none * few_views / np.maximum(views, 1)
        return np.clip((multiples - 1) / (self.none / self.whole - 1), 0, 1)


FAR, NEAR = Reach(2, 20), Reach(0.5, 2)  # of a site where attributes help items of many views, and of another one


def lengthening(views: np.ndarray, few_views: int, exponent: float) -> np.ndarray:
    """Return how near the size of known items is to that from attributes and views: float [m] of views int [m].

    It is the exponent at 0 views, none from few_views on, and linear in between.
    """
    return exponent * np.clip(1 - views / max(few_views, 1), 0, 1)


def metric(users: np.ndarray) -> np.ndarray:
    """Return M float32 [d, d] of users float32 [n, d]: |v M| is the root mean square of the scores of an item v."""

    def product(start: int) -> np.ndarray:
        block = users[start : start + _ROWS]
        return (block.T @ block).astype(np.float64)

    products = threads.each(product, range(0, len(users), _ROWS))
    gramian = np.sum([np.zeros((users.shape[1],) * 2), *products], axis=0)
    floor = max(1e-9 * float(np.trace(gramian)) / len(gramian), 1e-30)  # a direction that no user has
    root = np.linalg.cholesky((gramian + floor * np.eye(len(gramian))) / max(len(users), 1))
    return root.astype(np.float32)


def of_known(
    trained: np.ndarray, folded: np.ndarray, near: np.ndarray, share: np.ndarray, metric: np.ndarray
) -> np.ndarray:
    """Return the factors of known items with attributes: float32 [m, d].

    Their direction is between the trained one and that of `folded`, the factors from attributes and views, by
    `Reach.nearness` [m]. Their size, the root mean square of their scores by `metric`, is the trained one, because each
    place that greater scores gain in lists is one that other items lose; where the share e [m], see `lengthening`, is
    above 0, it is trained ** (1 - e) * folded ** e.
    """
    before, after = _lengths(trained @ metric), _lengths(folded @ metric)
    parts = ((folded, near, after), (trained, 1 - near, before))
    mixed = sum(_divided(weight, length)[:, None] * table for table, weight, length in parts)
    ratio = _divided(before ** (1 - share) * after**share, _lengths(mixed @ metric))
    return np.where(ratio[:, None] > 0, ratio[:, None] * mixed, trained).astype(np.float32)


def _lengths(table: np.ndarray) -> np.ndarray:
    """Return the lengths of the rows, float64 [m]."""
    return np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.float64))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, float32 [m]; 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0).astype(np.float32)


def scale(trained: np.ndarray, predicted: np.ndarray, exponent: float) -> float:
    """Return what to multiply factors from attributes by: (mean length of trained / of predicted) ** exponent.

    exponent: 0 leaves them as they are; 1 makes new items as long as known ones.
    """
    lengths = [float(_lengths(table).sum()) for table in (trained, predicted)]
    return (lengths[0] / len(trained) / (lengths[1] / len(predicted))) ** exponent if all(lengths) else 1.0


def most_new(share: float, k: Any) -> Any:
    """Return the most new items of k: the share of k, in millionths, rounded up. k: an integer, or a tensor of them."""
    return -(-round(share * _MILLION) * k // _MILLION)


def merged(known: Best, new: Best, k: int) -> Best:
    """Return the best k of two lists of each row, with the indices of both; of equal scores, known ones come first.

    new: rows of as many entries as may be new, whose indices are above those of known items.
    """
    scores = np.concatenate([known.scores, new.scores], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    indices = np.concatenate([known.indices, new.indices], axis=1)
    return Best(np.take_along_axis(indices, order, 1), np.take_along_axis(scores, order, 1))
