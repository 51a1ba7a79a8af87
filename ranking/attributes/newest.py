"""New items without attributes: only their time of publication is known, or that they have just been added.

Nothing predicts who will view such an item, so that no score ranks it among others. The newest of them have the last
places of each list until they have views, and the rule of such a list states so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from artifacts.features.feature_rows import Features
from artifacts.manifests import FieldFeatures
from ranking.heap import Best

MOST = 1000  # ids that a model has, as many as the longest list
_MILLION = 1_000_000  # so that the graph's integers and Python's round alike
_BUCKETS = 3  # of the age: below a day, below 3 and below 7


def telling(fields: Sequence[FieldFeatures], width: int) -> np.ndarray:
    """Return bool [width], the features by which factors can be predicted.

    Where a field is a time, all but times and the first feature of a field, which states that it is missing.
    """
    tells = np.ones(width, bool)
    if any(field.kind == "time" for field in fields):
        for field in fields:
            last = field.offset + (field.size if field.kind == "time" else int(field.kind != "embedding"))
            tells[field.offset : last] = False
    return tells


def order(rows: Features, fields: Sequence[FieldFeatures]) -> np.ndarray:
    """Return the rows of which only a time of at most a week ago is known, newest first; at most MOST, int64.

    Of the same age, the lower row comes first. The times are those of the buckets of the dataset's features.
    """
    owners = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
    ages = np.full(len(rows), _BUCKETS)
    for field in fields:
        if field.kind == "time":
            buckets = rows.indices - field.offset - 1
            is_recent = (buckets >= 0) & (buckets < min(_BUCKETS, field.size - 1))
            np.minimum.at(ages, owners[is_recent], buckets[is_recent])
    ages[owners[telling(fields, rows.width)[rows.indices]]] = _BUCKETS
    ordered = np.argsort(ages, kind="stable")
    return ordered[ages[ordered] < _BUCKETS][:MOST]


def described(rows: Features, fields: Sequence[FieldFeatures]) -> np.ndarray:
    """Return bool [n], the rows with features by which factors can be predicted."""
    known = np.append(0, np.cumsum(telling(fields, rows.width)[rows.indices]))
    return known[rows.indptr[1:]] > known[rows.indptr[:-1]]


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
