"""One list of known and of new items: factors of items with few views, the length of new factors, and their number.

Factors from attributes are shorter than trained ones, because a regression predicts less than it was shown. Unscaled,
new items would hardly be in any list.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ranking.heap import Best

_MILLION = 1_000_000  # so that the graph's integers and Python's round alike


def mixed(trained: np.ndarray, folded: np.ndarray, views: np.ndarray, few_views: int) -> np.ndarray:
    """Return the factors of items by their views int [m]: float32 [m, d].

    An item of n views has (1 - n / few_views) of the factors from attributes and views, and the rest of the trained
    ones; those of `few_views` or more views have the trained factors, bit for bit.
    """
    share = np.clip(1 - views / max(few_views, 1), 0, 1)[:, None]
    return np.where(share > 0, share * folded + (1 - share) * trained, trained).astype(np.float32)


def scale(trained: np.ndarray, predicted: np.ndarray, exponent: float) -> float:
    """Return what to multiply factors from attributes by: (mean length of trained / of predicted) ** exponent.

    exponent: 0 leaves them as they are; 1 makes new items as long as known ones.
    """
    lengths = [
        float(np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.float64)).sum()) for table in (trained, predicted)
    ]
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
