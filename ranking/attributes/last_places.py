"""The last places of a list, for the newest of the items that no score ranks (newest.py); its rule states so."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranking.heap import Best

_MILLION = 1_000_000  # so that the graph's integers and Python's round alike


def most(share: float, k: Any) -> Any:
    """Return the places of k that the newest items have: the share of k, in millionths, rounded down.

    k: an integer, or an array or tensor of them.
    """
    return round(share * _MILLION) * k // _MILLION


def in_last_places(
    best: Best, newest: np.ndarray, each: np.ndarray, share: float, seen: np.ndarray | None = None
) -> Best:
    """Return lists whose last places have the newest items; a list without entries stays so.

    The items have the score of the entry before them, because none can be computed.

    Args:
        best: b lists. newest: int64 [n], the indices of the items, newest first.
        each: int64 [b], the length of each list; 0 for one that has none of these items.
        seen: int64 [b, s], indices that a list may not have.
    """
    places = most(share, each)
    candidates = newest[: int(places.max(initial=0))]
    if not len(candidates):
        return best
    may_be = np.arange(len(candidates)) < places[:, None]
    if seen is not None:
        may_be &= ~(candidates[None, :, None] == seen[:, None, :]).any(axis=2)
    given = candidates[np.argsort(~may_be, axis=1, kind="stable")]
    width = min(int(each.max()), best.indices.shape[1] + len(candidates))
    wider = Best.empty(len(each), max(width, best.indices.shape[1]))
    for table, part in zip(wider, best, strict=True):
        table[:, : part.shape[1]] = part
    listed, count = (wider.indices >= 0).sum(axis=1), may_be.sum(axis=1)
    kept = np.minimum(listed, np.maximum(each, 0) - count)
    count = np.where((kept > 0) & (listed > 0), count, 0)
    numbers = np.arange(wider.indices.shape[1]) - kept[:, None]
    is_given = (numbers >= 0) & (numbers < count[:, None])
    items = np.take_along_axis(given, np.clip(numbers, 0, given.shape[1] - 1), 1)
    last = np.take_along_axis(wider.scores, np.maximum(kept - 1, 0)[:, None], 1)
    return Best(np.where(is_given, items, wider.indices), np.where(is_given, last, wider.scores))
