"""Distinct pairs of an item and a value of it, with their rows and the time of the last one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

NOTHING = -1
_BITS = 32  # of a code
_LOWEST = np.iinfo(np.int64).min


class Pairs(NamedTuple):
    """Pairs [m]: the codes of item and value, the number of their rows, and the time of the last one."""

    item: np.ndarray  # int64
    value: np.ndarray  # int64
    rows: np.ndarray  # int64
    last_ms: np.ndarray  # int64


class Coded(NamedTuple):
    """Values by codes."""

    codes: np.ndarray  # int32[m]: of each value; NOTHING for a null
    places: np.ndarray  # int64[n]: of each row's value; NOTHING where it has none
    is_value: np.ndarray  # bool: whether a value counts, by its code


def count_pairs(items: np.ndarray, values: Coded, times_ms: np.ndarray) -> Pairs:
    """Return the distinct pairs of an item and a value.

    Most items have one value, so that only rows of another one are hashed. A compiled pass takes half of the time, but
    its compiler 80 MB and half a second in each process.

    Args:
        items: a code per row, int32[n]; NOTHING in a row that has none.
        times_ms: int64[n].
    """
    codes = np.append(values.codes, np.int32(NOTHING)).take(values.places, mode="wrap")
    kept = np.append(values.is_value, False).take(codes, mode="wrap") & (items != NOTHING)
    if not kept.all():
        items, codes, times_ms = items[kept], codes[kept], times_ms[kept]
    size = int(items.max(initial=NOTHING)) + 1
    usual = np.zeros(size, np.int32)
    usual[items] = codes
    pair = items.astype(np.int64)
    others = np.flatnonzero(codes != usual.take(items))
    rare = pa.array(pair[others] << _BITS | codes[others]).dictionary_encode()
    pair[others] = size + rare.indices.to_numpy()
    item, value = np.divmod(rare.dictionary.to_numpy(), 1 << _BITS)
    rows = np.bincount(pair, minlength=size + len(item))
    last_ms = np.full(len(rows), _LOWEST)
    np.maximum.at(last_ms, pair, times_ms)
    used = np.flatnonzero(rows)
    columns = (np.append(np.arange(size), item), np.append(usual, value), rows, last_ms)
    return Pairs(*(column[used] for column in columns))
