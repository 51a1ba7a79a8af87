"""Sparse rows packed in dense tiles of one fixed shape, as accelerators need them (ALX, arXiv 2112.02194).

A slot contains up to LENGTH entries of one row, padded with entries of weight -1; a longer row has several consecutive
slots. A tile has a fixed number of slots, and the program compiled for it serves all data. A row may continue in the
next tile: its sums so far are then carried over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows

LENGTH = 64
_TILE_FLOATS = 1 << 24  # of the [slots, k, k] systems of a tile: 64 MB


class Tiles(NamedTuple):
    """The rows at r positions as T tiles of S slots of LENGTH entries; NumPy arrays, or tensors of them."""

    indices: np.ndarray  # int32 [T, S, LENGTH]
    values: np.ndarray  # float32 [T, S, LENGTH]
    weights: np.ndarray  # float32 [T, S, LENGTH], E of the entries, -1 for padding
    owner: np.ndarray  # int32 [T, S], each slot's row as its place among the positions; r where the slot is empty
    segment: np.ndarray  # int32 [T, S], each slot's row counted within its tile, from 0
    ends: np.ndarray  # int32 [T, S], by that count: the row's place if it ends in this tile, else r
    goes_on: np.ndarray  # bool [T], whether the tile's last row continues in the next tile, as `segment` 0 there
    last: np.ndarray  # int32 [T], the count of the tile's last row


def slots_for(k: int) -> int:
    """Return the slots of a tile for k factors."""
    return int(np.clip(_TILE_FLOATS // (k * k), 8, 4096))


def pack(rows: SparseRows, positions: np.ndarray, slots: int) -> Tiles:
    """Pack the rows at the positions, none of them empty, in that order; return at least one tile."""
    lengths = rows.lengths[positions]
    of_row = -(-lengths // LENGTH)
    count = int(of_row.sum())
    tiles = max(1, -(-count // slots))
    owners = np.full(tiles * slots, len(positions), np.int32)
    owners[:count] = np.repeat(np.arange(len(positions), dtype=np.int32), of_row)

    taken = rows.take(positions)
    firsts = np.cumsum(of_row) - of_row
    within = np.arange(taken.entries) - np.repeat(taken.indptr[:-1], lengths)
    places = np.repeat(firsts * LENGTH, lengths) + within
    entry_weights = taken.weights if len(taken.weights) else np.ones(taken.entries, np.float32)
    padded = []
    for entries, padding in ((taken.indices, 0), (taken.values, 0), (entry_weights, -1)):
        dense = np.full(tiles * slots * LENGTH, padding, entries.dtype)
        dense[places] = entries
        padded.append(dense.reshape(tiles, slots, LENGTH))
    owner = owners.reshape(tiles, slots)
    segment = np.zeros((tiles, slots), np.int32)
    segment[:, 1:] = np.cumsum(owner[:, 1:] != owner[:, :-1], axis=1)
    last_owner = owner[:, -1]
    goes_on = np.append(last_owner[:-1] == owner[1:, 0], False) & (last_owner < len(positions))
    ends = np.full((tiles, slots), len(positions), np.int32)
    ends[np.arange(tiles)[:, None], segment] = owner
    ends[np.flatnonzero(goes_on), segment[goes_on, -1]] = len(positions)
    indices, values, weights = padded
    return Tiles(indices, values, weights, owner, segment, ends, goes_on, segment[:, -1].copy())
