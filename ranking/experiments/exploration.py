"""Exploration: some slots of a list go to items of which little is known, by a draw that a rerun repeats.

Each slot of a list is explored with the probability `share`, independently of the others. An explored slot gets an item
of the pool that is not in the list, each with the same probability; the other slots keep their item. So the
probability with which a slot has its item, the propensity, is known exactly:

    share / n          an item of the pool, n of which the visitor can be given
    1 - share          the item of the list

where n is at least the slots: a draw beyond the pool keeps the list's item, whose propensity is that much greater.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking.heap import STRICT, Best

_DRAWS = 1 << 20  # numbers of a slot: the first decides whether it is explored, the others which item it gets
_SCORE = np.float32(0)  # of an explored entry, which is not there for its score


class Explored(NamedTuple):
    """Lists with explored slots. propensity: float64 [b, k], NaN after a row's last entry; explored: bool [b, k]."""

    best: Best
    propensity: np.ndarray
    explored: np.ndarray


def least_known(items: int, share: float) -> int:
    """Return the first index of the pool: itemIds are in the order of visitors, and new items come after them."""
    return items - int(items * share)


def keys(seed: int, day: str, visitors: Sequence[bytes]) -> np.ndarray:
    """Return what the draws of each visitor on a day begin with, uint64 [n]; day: such as 2024-01-31."""
    start = hashlib.sha256(f"{seed}\0{day}\0".encode())
    digests = []
    for visitor in visitors:
        whole = start.copy()
        whole.update(visitor)
        digests.append(int.from_bytes(whole.digest()[:8], "big"))
    return np.array(digests, np.uint64)


def explore(best: Best, pool: np.ndarray, left_out: SparseRows, share: float, of_visitors: np.ndarray) -> Explored:
    """Return lists in which some slots have an item of the pool.

    Args:
        best: b rows of up to k entries. pool: int64 [g], ascending. left_out: b rows of items that are not given.
        of_visitors: uint64 [b], from `keys`.
    """
    indices, scores = best.indices.copy(), best.scores.copy()
    propensity = np.where(indices >= 0, 1.0, np.nan)
    _explore(best.indices, pool, left_out.indptr, left_out.indices, share, of_visitors, indices, propensity)
    explored = indices != best.indices
    scores[explored] = _SCORE
    return Explored(Best(indices, scores), propensity, explored)


@numba.njit(**STRICT)
def _explore(listed, pool, starts, left_out, share, of_visitors, indices, propensity):
    """Fill `indices` and `propensity`."""
    rows, width = listed.shape
    for row in range(rows):
        own = left_out[starts[row] : starts[row + 1]]
        places, count = np.empty(len(own) + width, np.int64), 0
        for entry in range(len(own) + width):  # the places in the pool of what the visitor is not given
            item = np.int64(own[entry]) if entry < len(own) else listed[row, entry - len(own)]
            place = np.searchsorted(pool, item)
            if place < len(pool) and pool[place] == item:
                places[count] = place
                count += 1
        places = np.unique(places[:count])
        size = 0
        while size < width and listed[row, size] >= 0:
            size += 1
        available = len(pool) - len(places)
        sides = max(available, size)
        drawn = np.full(size, -1, np.int64)
        for slot in range(size):
            propensity[row, slot] = 1 - share * available / sides
            if _uniform(of_visitors[row], slot, 0) >= share:
                continue
            draw = _draw(of_visitors[row], slot, sides, drawn)
            drawn[slot] = draw
            if draw < available:
                indices[row, slot] = pool[_without(draw, places)]
                propensity[row, slot] = share / sides


@numba.njit(**STRICT)
def _draw(key, slot, sides, drawn):
    """Return a number below `sides` that no slot before has drawn; they are at most as many as the slots."""
    for attempt in range(1, _DRAWS):
        number = np.int64(_uniform(key, slot, attempt) * sides)
        if not (drawn[:slot] == number).any():
            return number
    return sides  # after a million attempts: keeps the list's item


@numba.njit(**STRICT)
def _without(number, places):
    """Return the place of the number-th element that is not at `places`, which ascend."""
    for place in places:
        if place > number:
            break
        number += 1
    return number


@numba.njit(**STRICT)
def _uniform(key, slot, attempt):
    """Return a number in [0, 1) by SplitMix64 (Steele, Lea, Flood 2014), of a key's stream."""
    z = key + np.uint64(slot * _DRAWS + attempt + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) / 9007199254740992.0
