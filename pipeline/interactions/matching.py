"""The last row before each of other rows: which exposure a click belongs to, and which click a purchase."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Rows [n]: the pair of visitor and item of each, int64, and its time in ms."""

    pairs: np.ndarray
    times_ms: np.ndarray

    def take(self, rows: np.ndarray) -> Moments:
        return Moments(self.pairs[rows], self.times_ms[rows])


def last_before(earlier: Moments, later: Moments, window_ms: float) -> np.ndarray:
    """Return the last of the earlier rows of the same pair, at most `window_ms` before each later one, int64 [later].

    -1 where there is none. Of several at one time, the last one counts; one at the same time as the later row is before
    it.
    """
    if not len(earlier.pairs) or not len(later.pairs):
        return np.full(len(later.pairs), -1)
    _, codes = np.unique(np.concatenate([earlier.pairs, later.pairs]), return_inverse=True)
    times = np.concatenate([earlier.times_ms, later.times_ms])
    first = times.min()
    span = int(times.max() - first) + 1
    moments = codes * span + (times - first)  # below 2^63: the rows of a shard, and some days in ms
    size = len(earlier.pairs)
    order = np.argsort(moments[:size], kind="stable")
    place = np.searchsorted(moments[:size][order], moments[size:], side="right") - 1
    rows = order[np.maximum(place, 0)]
    same = (place >= 0) & (earlier.pairs[rows] == later.pairs)
    same &= later.times_ms - earlier.times_ms[rows] <= window_ms
    return np.where(same, rows, -1)


def firsts(*keys: np.ndarray) -> np.ndarray:
    """Return which rows are the first with their keys, each [n]: bool [n]."""
    order = np.lexsort(keys[::-1])
    repeats = np.ones(len(order), bool)
    for key in keys:
        repeats[1:] &= key[order][1:] == key[order][:-1]
    kept = np.zeros(len(order), bool)
    kept[order] = True
    kept[order[1:]] = ~repeats[1:]
    return kept
