"""Lists of a key and a value per event: the parameters of GA4's events, and the properties of its users."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import columns
from pipeline.sources.columns import NOTHING
from pipeline.sources.events.schema import VALUE_FIELDS

_SHOWN = 100  # bytes of a name


class Parameters:
    """The parameters of n events, by name."""

    def __init__(self, lists: pa.Array):
        """Take a list of (key, value) per event."""
        self._size = len(lists)
        _, self._event, elements = flat(lists)
        keys = columns.coded_ids(columns.field(elements, "key"))
        self._keys, self._names = keys.indices.fill_null(NOTHING).to_numpy(), keys.dictionary.to_pylist()
        self._values, self._read = columns.field(elements, "value"), dict[str, pa.Array]()

    def of(self, name: str) -> pa.Array:
        """Return a parameter of each event, as text in bytes, null where it has none; the first where it is twice."""
        if name not in self._read:
            self._read[name] = self._texts(name)
        return self._read[name]

    def names(self, events: np.ndarray) -> Counter[str]:
        """Return the number of parameters of some events, bool[events], by name."""
        keys = self._keys[(self._keys != NOTHING) & events[self._event]]
        numbers = np.bincount(keys, minlength=len(self._names)).tolist()
        return +Counter({shown(name): number for name, number in zip(self._names, numbers, strict=True)})

    def _texts(self, name: str) -> pa.Array:
        at = np.flatnonzero(self._keys == self._code(name))
        if not len(at) or not self._value_fields:
            return pa.nulls(self._size, pa.binary())
        taken = pa.array(at)
        texts = pc.coalesce(*(columns.ids(values.take(taken)) for values in self._value_fields))
        event = self._event[at]
        if len(at) == self._size and (event == np.arange(self._size)).all():
            return texts
        place = np.full(self._size, NOTHING)
        place[event[::-1]] = np.arange(len(at))[::-1]
        return texts.take(pa.array(place, mask=place == NOTHING))

    def _code(self, name: str) -> int:
        return self._names.index(name.encode()) if name.encode() in self._names else len(self._names)

    @cached_property
    def _value_fields(self) -> list[pa.Array]:
        """The fields that have a parameter's value; a field that is null everywhere may be of any type."""
        fields = (columns.field(self._values, name) for name in VALUE_FIELDS)
        return [values for values in fields if values.null_count < len(values)]


class Flat(NamedTuple):
    """Lists as one column: the size of each list and the list of each element, int64 each; the elements."""

    sizes: np.ndarray
    parents: np.ndarray
    elements: pa.Array


def flat(lists: pa.Array) -> Flat:
    """Return the elements of lists."""
    if pa.types.is_null(lists.type):
        return Flat(np.zeros(len(lists), np.int64), np.zeros(0, np.int64), pa.array([], pa.struct([])))
    sizes = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
    return Flat(sizes, np.repeat(np.arange(len(lists)), sizes), pc.list_flatten(lists))


def shown(name: bytes | None) -> str:
    """Return the name of an event or a parameter for the account."""
    return (name or b"")[:_SHOWN].decode("utf-8", "backslashreplace")
