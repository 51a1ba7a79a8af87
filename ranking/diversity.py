"""Caps on the items of one category in an answer."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.heap import STRICT, Best
from ranking.neighbourhood import Term
from ranking.topk import top_k

_ENTRIES = 1 << 20  # of the longer lists that are in memory at once


class Cap(NamedTuple):
    """A limit on one category in an answer."""

    categories: np.ndarray  # int32 [n], of each item; -1 for an item without one, which has no limit
    most: int  # items of one category


def no_cap(items: int) -> Cap:
    """Return a cap that limits nothing."""
    return Cap(np.full(items, -1, np.int32), 0)


def capped_top_k(
    users: np.ndarray,
    items: np.ndarray,
    left_out: SparseRows,
    k: int,
    cap: Cap,
    entries: int = _ENTRIES,
    *,
    term: Term | None = None,
) -> Best:
    """Return what `topk.top_k` returns, skipping items that exceed the cap of their category.

    The search goes down each user's order as far as needed, in longer and longer lists for fewer and fewer users.
    """
    best, unfilled, length = Best.empty(len(users), k), np.arange(len(users)), min(len(items), 2 * k + cap.most)
    while len(unfilled):
        rows, still_unfilled = max(1, entries // length), []
        for start in range(0, len(unfilled), rows):
            part = unfilled[start : start + rows]
            longer = top_k(users[part], items, left_out.take(part), length, term=term and term.take(part))
            filled, shorter = np.empty(len(part), np.bool_), Best.empty(len(part), k)
            _within_cap(longer, cap, shorter, filled)
            best.indices[part], best.scores[part] = shorter
            still_unfilled.append(part[~filled & (longer.indices[:, -1] >= 0)])
        unfilled = np.concatenate(still_unfilled) if length < len(items) else unfilled[:0]
        length = min(len(items), 4 * length)
    return best


def within_cap(longer: Best, cap: Cap, k: int) -> Best:
    """Return the first k entries of each list that the cap allows."""
    shorter = Best.empty(len(longer.indices), k)
    _within_cap(longer, cap, shorter, np.empty(len(longer.indices), np.bool_))
    return shorter


@numba.njit(**STRICT)
def _within_cap(longer, cap, best, filled):
    """Fill `best` with the first k of each longer list that the cap allows; filled bool [b]: whether there were k."""
    k = best.indices.shape[1]
    for row in range(len(longer.indices)):
        size = 0
        for number in range(longer.indices.shape[1]):
            index = longer.indices[row, number]
            if index < 0 or size == k:
                break
            if fits(best.indices[row, :size], cap, index):
                best.indices[row, size], best.scores[row, size] = index, longer.scores[row, number]
                size += 1
        filled[row] = size == k


@numba.njit(**STRICT)
def fits(given, cap, index):
    """Return whether the cap allows an item next to those that are given already."""
    category = cap.categories[index]
    if category < 0:
        return True
    same = 0
    for other in given:
        same += cap.categories[other] == category
    return same < cap.most
