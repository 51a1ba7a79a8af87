"""Encoded interactions -> rows of the two group-by datasets, by shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.names import AGAIN, DAY_MS, ITEM_ID, RATING, TIME_MS, USER_ID, WEIGHT
from artifacts.sparse_rows import SparseRows
from pipeline.interactions import columns
from pipeline.interactions.blocks import values_of

ITEMS_FOR_USER, USERS_FOR_ITEM = "items_for_user", "users_for_item"
SIDES = (ITEMS_FOR_USER, USERS_FOR_ITEM)

_SHARD_INTERACTIONS = 2_000_000  # sorted and encoded at once: about 150 MB of a worker's memory
_MOST_SHARDS = 10_000


@dataclass(frozen=True)
class Sizes:
    """Limits that bound a worker's memory."""

    block: int = 1 << 20  # interactions per block
    # Entries per record: a row of an item that everyone viewed would fill many megabytes, and becomes several records.
    record: int = 1 << 16
    batch: int = 1 << 20  # entries that are encoded at once


class EncodedInteractions(NamedTuple):
    """Interactions by index: users int64[n], items int64[n], ratings float32[n].

    weights float32[n], again bool[n], and days uint16[n] since 1970 (of the last view) are None in a dataset without.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    weights: np.ndarray | None = None
    again: np.ndarray | None = None
    days: np.ndarray | None = None


def shards_for(interactions: int, chosen: int | None) -> int:
    """Return the number of files per side: the chosen one, or one that suits the number of interactions."""
    return chosen or min(_MOST_SHARDS, max(1, math.ceil(interactions / _SHARD_INTERACTIONS)))


def used_interactions(block: pa.RecordBatch, timed: bool = False) -> tuple[EncodedInteractions, dict[str, int]]:
    """Return the interactions of a block that no minimum count left out, and how many were left out for which id.

    timed: whether the block's times are known.
    """
    users, items, ratings = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING))
    used = (users >= 0) & (items >= 0)
    skipped = {
        "pairs.skipped.below_min_items_per_user": int((users < 0).sum()),
        "pairs.skipped.below_min_users_per_item": int(((users >= 0) & (items < 0)).sum()),
    }
    weights, again = (
        values_of(block, name)[used].astype(kind) if name in block.schema.names else None
        for name, kind in ((WEIGHT, np.float32), (AGAIN, bool))
    )
    days = _days(values_of(block, TIME_MS)[used]) if timed else None
    ratings = ratings[used].astype(np.float32)
    return EncodedInteractions(users[used], items[used], ratings, weights, again, days), skipped


def _days(times: np.ndarray) -> np.ndarray:
    """Return days since 1970, uint16: those before 1970 are 0, and those after 2149 the last one."""
    return np.clip(times // DAY_MS, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def partition(
    interactions: EncodedInteractions, shards: int, sides: Iterable[str] = SIDES
) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    """Yield ((side, shard), entries): on each side, an interaction's shard is its key modulo `shards`.

    What may be recommended again is written to the users' rows alone, of which recommendations are made, and so are
    days.
    """
    users, items, ratings, weights, again, days = interactions
    for side in sides:
        keys, indices = (items, users) if side == USERS_FOR_ITEM else (users, items)
        entries = {"key": keys, "index": indices, "value": ratings, "weights": weights}
        entries |= {"again": again, "days": days} if side == ITEMS_FOR_USER else {}
        batch = pa.RecordBatch.from_pydict({name: pa.array(v) for name, v in entries.items() if v is not None})
        for shard, part in columns.split(batch, keys % shards):
            yield (side, shard), part


class Grouped(NamedTuple):
    """All rows of one shard, keys and indices ascending, and the day of each entry, uint16[nnz], if it is known."""

    rows: SparseRows
    days: np.ndarray | None = None


def group(entries: pa.Table) -> Grouped:
    """Return the rows of a shard of at least one entry.

    Args:
        entries: key, index and value; then `days`, and what is named as an attribute of SparseRows.
    """
    keys, indices, values, *others = (column.to_numpy() for column in entries.columns)
    most_indices = int(indices.max()) + 1
    pairs, order = columns.sorted_with_order(keys * most_indices + indices)
    keys = pairs // most_indices
    indices, values = pairs - keys * most_indices, values[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    optional = dict(zip(entries.column_names[3:], (column[order] for column in others), strict=True))
    days = optional.pop("days", None)
    return Grouped(SparseRows(keys[starts], np.append(starts, len(keys)), indices, values, **optional), days)
