"""Encoded interactions -> rows of the two group-by datasets, by shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.names import ITEM_ID, RATING, USER_ID, WEIGHT
from artifacts.sparse_rows import SparseRows
from pipeline.interactions import columns
from pipeline.interactions.blocks import values_of

ITEMS_FOR_USER, USERS_FOR_ITEM = "items_for_user", "users_for_item"
SIDES = (ITEMS_FOR_USER, USERS_FOR_ITEM)

_SHARD_INTERACTIONS = 2_000_000  # sorted and encoded at once: about 150 MB of a worker's memory
_MOST_SHARDS = 10_000
_ENTRIES = pa.schema({"key": pa.int64(), "index": pa.int64(), "value": pa.float32()})
_WEIGHED_ENTRIES = _ENTRIES.append(pa.field("weight", pa.float32()))


@dataclass(frozen=True)
class Sizes:
    """Limits that bound a worker's memory.

    block: interactions per block. record: entries per record, since a row of an item that everyone viewed would fill
    many megabytes; a longer row becomes several records. batch: entries that are encoded at once.
    """

    block: int = 1 << 20
    record: int = 1 << 16
    batch: int = 1 << 20


class EncodedInteractions(NamedTuple):
    """Interactions by index: users int64[n], items int64[n], ratings float32[n]; weights float32[n] or None."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    weights: np.ndarray | None = None


def shards_for(interactions: int, chosen: int | None) -> int:
    """Return the number of files per side: the chosen one, or one that suits the number of interactions."""
    return chosen or min(_MOST_SHARDS, max(1, math.ceil(interactions / _SHARD_INTERACTIONS)))


def used_interactions(block: pa.RecordBatch) -> tuple[EncodedInteractions, dict[str, int]]:
    """Return the interactions of a block that no minimum count left out, and how many were left out for which id."""
    users, items, ratings = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING))
    used = (users >= 0) & (items >= 0)
    skipped = {
        "pairs.skipped.below_min_items_per_user": int((users < 0).sum()),
        "pairs.skipped.below_min_users_per_item": int(((users >= 0) & (items < 0)).sum()),
    }
    weights = values_of(block, WEIGHT)[used].astype(np.float32) if WEIGHT in block.schema.names else None
    return EncodedInteractions(users[used], items[used], ratings[used].astype(np.float32), weights), skipped


def partition(
    interactions: EncodedInteractions, shards: int, sides: Iterable[str] = SIDES
) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    """Yield ((side, shard), entries): on each side, an interaction's shard is its key modulo `shards`."""
    users, items, ratings, weights = interactions
    others = [pa.array(ratings)] if weights is None else [pa.array(ratings), pa.array(weights)]
    schema = _ENTRIES if weights is None else _WEIGHED_ENTRIES
    for side in sides:
        keys, indices = (items, users) if side == USERS_FOR_ITEM else (users, items)
        batch = pa.RecordBatch.from_arrays([pa.array(keys), pa.array(indices), *others], schema=schema)
        for shard, entries in columns.split(batch, keys % shards):
            yield (side, shard), entries


def group(entries: pa.Table) -> SparseRows:
    """Return all rows of one shard, keys and indices ascending; there is at least one entry."""
    keys, indices, values, *weights = (column.to_numpy() for column in entries.columns)
    most_indices = int(indices.max()) + 1
    pairs, order = columns.sorted_with_order(keys * most_indices + indices)
    keys = pairs // most_indices
    indices, values = pairs - keys * most_indices, values[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return SparseRows(keys[starts], np.append(starts, len(keys)), indices, values, *(each[order] for each in weights))
