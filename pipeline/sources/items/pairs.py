"""Compiled: distinct pairs of an item and a value of it, with their rows and the time of the last one."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

NOTHING = -1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Pairs(NamedTuple):
    """Pairs [m] in the order of their first rows."""

    first: np.ndarray  # int64: the first row
    rows: np.ndarray  # int64: the number of rows
    last_ms: np.ndarray  # int64


class Coded(NamedTuple):
    """Values by codes."""

    codes: np.ndarray  # int32[m]: of each value; NOTHING for a null
    places: np.ndarray  # int64[n]: of each row's value; NOTHING where it has none
    is_value: np.ndarray  # bool: whether a value counts, by its code


def count_pairs(items: np.ndarray, values: Coded, times_ms: np.ndarray) -> Pairs:
    """Return the distinct pairs of an item and a value.

    Args:
        items: a code per row, int32[n]; NOTHING in a row that has none.
        times_ms: int64[n].
    """
    return Pairs(*_count(items, *values, times_ms))


@numba.njit(nogil=True, cache=True)
def _count(items, codes, places, is_value, times_ms):
    bits = 1
    while 1 << bits < 2 * len(items):
        bits += 1
    table = np.full(1 << bits, NOTHING, np.int32)  # of hashes: the place of a pair, or the next free one behind it
    keys, first, rows, last_ms = np.empty((4, len(items)), np.int64)
    latest = np.full(items.max() + 1 if len(items) else 0, NOTHING, np.int32)  # the pair of each item's last row
    size = 0
    for row in range(len(items)):
        item, place = items[row], places[row]
        if item == NOTHING or place == NOTHING:
            continue
        value = codes[place]
        if value == NOTHING or not is_value[value]:
            continue
        key = np.int64(item) << 32 | np.int64(value)
        pair = latest[item]
        if pair != NOTHING and keys[pair] == key:  # most items have one value
            rows[pair] += 1
            last_ms[pair] = max(last_ms[pair], times_ms[row])
            continue
        slot = (np.uint64(key) * _MULTIPLIER) >> np.uint64(64 - bits)
        while True:
            pair = table[slot]
            if pair == NOTHING:
                table[slot] = pair = size
                keys[pair], first[pair], rows[pair], last_ms[pair] = key, row, 0, times_ms[row]
                size += 1
                break
            if keys[pair] == key:
                break
            slot = (slot + np.uint64(1)) & np.uint64(len(table) - 1)
        latest[item] = pair
        rows[pair] += 1
        last_ms[pair] = max(last_ms[pair], times_ms[row])
    return first[:size], rows[:size], last_ms[:size]
