"""Custom dimensions of one scope: of sessions, of hits or of products."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import columns
from pipeline.sources.columns import NOTHING


class Chosen(NamedTuple):
    """The values of one dimension. place: int32[owners + 1], that of each owner's value; NOTHING without, and last."""

    values: pa.BinaryArray
    place: np.ndarray


class Dimensions:
    """The custom dimensions of sessions, hits or products, their owners."""

    def __init__(self, lists: pa.Array):
        """Take a list of (index, value) per owner."""
        self._size = len(lists)
        has_none = pa.types.is_null(lists.type)
        flat = pa.array([], pa.struct([])) if has_none else pc.list_flatten(lists)
        self._owner = np.zeros(0, np.int64) if has_none else parents(lists)
        self._index, self._has_index = columns.integers(columns.field(flat, "index"))
        self._value = columns.field(flat, "value")
        self._chosen: dict[int, Chosen] = {}

    def __len__(self) -> int:
        """Return the number of values, of all dimensions and owners."""
        return len(self._index)

    def seen(self, kept: np.ndarray) -> Counter[int]:
        """Return how many of the owners that are kept, bool[owners], have each index."""
        numbers = self._index[self._has_index & kept[self._owner]]
        return Counter({seen["values"]: seen["counts"] for seen in pc.value_counts(pa.array(numbers)).to_pylist()})

    def choose(self, index: int) -> Chosen:
        """Return the values of one index; the greatest where an owner has several."""
        if index not in self._chosen:
            self._chosen[index] = self._choose(index)
        return self._chosen[index]

    def _choose(self, index: int) -> Chosen:
        at = np.flatnonzero(self._has_index & (self._index == index))
        values = columns.ids(self._value.take(pa.array(at)))
        rows = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
        owner = self._owner[at[rows]]
        if (owner[1:] == owner[:-1]).any():
            order = sorted(range(len(rows)), key=lambda row: (owner[row], values[rows[row]].as_py()))
            rows, owner = rows[order], owner[order]
        place = np.full(self._size + 1, NOTHING, np.int32)
        place[owner] = rows
        return Chosen(values, place)


def parents(lists: pa.Array) -> np.ndarray:
    """Return the list that each item is in, int64[items]."""
    return pc.list_parent_indices(lists).to_numpy().astype(np.int64, copy=False)
