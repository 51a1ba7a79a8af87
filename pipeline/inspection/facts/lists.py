"""Lists in records, such as a session's hits and the parameters of an event, over all batches of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import columns
from pipeline.sources.extract import column


def joined(arrays: Sequence[pa.Array]) -> pa.BinaryArray:
    """Return texts of all batches as one array."""
    return pa.chunked_array([array.cast(pa.binary()) for array in arrays], pa.binary()).combine_chunks()


def ids_of(batches: Sequence[pa.RecordBatch], name: str) -> pa.BinaryArray:
    """Return a column of all batches as bytes; nulls where a batch has no such column."""
    return joined([columns.ids(column(batch, name)) for batch in batches])


def without(ids: pa.BinaryArray, names: Sequence[str]) -> pa.BinaryArray:
    """Return ids, null where one of the names is in place of an id."""
    no_ids = pa.array([name.encode() for name in names], pa.binary())
    return pc.if_else(pc.is_in(ids, value_set=no_ids), pa.scalar(None, pa.binary()), ids)


@dataclass
class Entries:
    """Entries of lists.

    parent: int64[n], the record of each entry. parts: their structs, a batch each.
    """

    parent: np.ndarray
    parts: list[pa.Array]

    def field(self, *path: str) -> pa.BinaryArray:
        """Return a nested field of each entry as bytes; nulls where the files do not have it."""
        arrays = []
        for part in self.parts:
            for name in path:
                part = columns.field(part, name) if pa.types.is_struct(part.type) else pa.nulls(len(part))
            arrays.append(columns.ids(part))
        return joined(arrays)

    def lists(self, name: str) -> Entries:
        """Return the entries of a list in each entry; their parents are this object's entries."""
        return entries([columns.field(part, name) for part in self.parts])

    def filter(self, mask: np.ndarray) -> Entries:
        """Return the entries where the mask, bool[n], is true."""
        return self.take(np.flatnonzero(mask))

    def take(self, places: np.ndarray) -> Entries:
        """Return the entries at these places, which ascend."""
        starts = np.cumsum([0, *map(len, self.parts)])
        if len(self.parts) == 1 or not len(places):
            return Entries(self.parent[places], [part.take(pa.array(places)) for part in self.parts[:1]])
        of_part = np.searchsorted(starts, places, "right") - 1
        parents, parts = [], []
        for number in np.unique(of_part):
            chosen = places[of_part == number]
            parents.append(self.parent[chosen])
            parts.append(self.parts[number].take(pa.array(chosen - starts[number])))
        return Entries(np.concatenate(parents), parts)


def entries(lists: Sequence[pa.Array]) -> Entries:
    """Return the entries of a list column's batches; other columns have none."""
    parents, parts, start = [np.zeros(0, np.int64)], [], 0
    for batch in lists:
        if pa.types.is_list(batch.type) or pa.types.is_large_list(batch.type):
            parents.append(pc.list_parent_indices(batch).to_numpy().astype(np.int64) + start)
            parts.append(pc.list_flatten(batch))
        start += len(batch)
    return Entries(np.concatenate(parents), parts)
