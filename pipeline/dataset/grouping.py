"""Encoded interactions -> rows of the two group-by datasets, by shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from artifacts.examples import Rows
from artifacts.names import ITEM_ID, RATING, USER_ID
from pipeline.interactions import columns
from pipeline.interactions.blocks import values_of

ITEMS_FOR_USER, USERS_FOR_ITEM = "items_for_user", "users_for_item"
SIDES = (ITEMS_FOR_USER, USERS_FOR_ITEM)

_SHARD_INTERACTIONS = 2_000_000  # sorted and encoded at once: about 150 MB of a worker's memory
_MOST_SHARDS = 10_000
NO_ROWS = Rows(*(np.zeros(size, kind) for size, kind in ((0, "i8"), (1, "i8"), (0, "i8"), (0, "f4"))))
_ENTRIES = pa.schema([pa.field("key", pa.int64()), pa.field("index", pa.int64()), pa.field("value", pa.float32())])


def shards_for(interactions: int, chosen: int | None) -> int:
    """Files a side: the number chosen, or one that suits the data."""
    return chosen or min(_MOST_SHARDS, max(1, math.ceil(interactions / _SHARD_INTERACTIONS)))


def encoded_interactions(block: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """The interactions of a block that no minimum count left out.

    Returns:
        userId int64[n], itemId int64[n], rating float32[n], and how many were left out for which id.
    """
    users, items, ratings = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING))
    kept = (users >= 0) & (items >= 0)
    dropped = {
        "pairs.skipped.below_min_items_per_user": int((users < 0).sum()),
        "pairs.skipped.below_min_users_per_item": int(((users >= 0) & (items < 0)).sum()),
    }
    return users[kept], items[kept], ratings[kept].astype(np.float32), dropped


def partition(
    users: np.ndarray, items: np.ndarray, ratings: np.ndarray, shards: int, sides: Iterable[str] = SIDES
) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    """Sends each interaction to its shard on each side: the remainder of its key."""
    for side in sides:
        keys, indices = (items, users) if side == USERS_FOR_ITEM else (users, items)
        batch = pa.RecordBatch.from_arrays([pa.array(keys), pa.array(indices), pa.array(ratings)], schema=_ENTRIES)
        for shard, entries in columns.split(batch, keys % shards):
            yield (side, shard), entries


def group(entries: pa.Table) -> Rows:
    """All rows of one shard, keys and indices ascending; there is at least one entry."""
    keys, indices, values = (column.to_numpy() for column in entries.columns)
    others = int(indices.max()) + 1
    pairs, order = columns.sorted_with_order(keys * others + indices)
    keys = pairs // others
    indices, values = pairs - keys * others, values[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return Rows(keys[starts], np.append(starts, len(keys)), indices, values)
