"""The events of hits, by the names that signals have for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow as pa

from configs.settings.signals import ANY_EVENT
from pipeline.sources import columns
from pipeline.sources.hits.schema import ACTIONS, TYPES

_KNOWN = (*TYPES.values(), *ACTIONS.values())
_SHOWN = 100  # characters of a category


class Events:
    """The names of each hit: that of its type, or its category if it is of type EVENT; and that of its action."""

    def __init__(self, hits: pa.StructArray):
        """Name hits, a struct per hit with fields of pipeline.sources.hits.schema."""
        types = columns.coded_ids(columns.field(hits, "type"))
        actions = columns.coded_ids(columns.field(columns.field(hits, "eCommerceAction"), "action_type"))
        categories = columns.coded_ids(columns.field(columns.field(hits, "eventInfo"), "eventCategory"))
        values = categories.dictionary.to_pylist()
        self._categories = [value.decode("utf-8", "backslashreplace") for value in values]
        # The code of a name, int32[hits]; behind all names, that of a hit without one.
        self._no_name = np.int32(len(_KNOWN) + len(values))
        self._types = self._codes(types, {name: _KNOWN.index(event) for name, event in TYPES.items()})
        if values:
            codes = categories.indices.fill_null(len(values)).to_numpy() + np.int32(len(_KNOWN))
            is_event = self._codes(types, {b"EVENT": 0}) == 0
            self._types = np.where(is_event, codes, self._types)
        self._names = [self._types]
        if len(actions.dictionary):
            self._names.append(self._codes(actions, {name: _KNOWN.index(event) for name, event in ACTIONS.items()}))

    def are_of(self, event: str) -> np.ndarray:
        """Return which hits are of a type, bool[hits]: page or screen."""
        return self._types == _KNOWN.index(event)

    def match(self, events: Collection[str]) -> np.ndarray:
        """Return which hits have one of the names, bool[hits].

        A name of a type or of an action means no category that is spelled alike.
        """
        if ANY_EVENT in events:
            return np.ones(len(self._types), bool)
        own = [name in events for name in _KNOWN]
        others = [name in events and name not in _KNOWN for name in self._categories]
        wanted = np.array([*own, *others, False])  # the last one for no name
        return np.logical_or.reduce([wanted.take(codes) for codes in self._names])

    def count(self, kept: np.ndarray) -> Counter[str]:
        """Return the number of hits by name, of those that are kept, bool[hits]."""
        seen: Counter[str] = Counter()
        for codes in self._names:
            numbers = np.bincount(codes if kept.all() else codes[kept], minlength=self._no_name + 1).tolist()
            for name, number in zip((*_KNOWN, *self._categories), numbers, strict=False):
                seen[name[:_SHOWN]] += number
        return +seen

    def _codes(self, values: pa.DictionaryArray, codes: dict[bytes, int]) -> np.ndarray:
        """Return the code of each value, int32[n]."""
        of_value = [*(codes.get(value, self._no_name) for value in values.dictionary.to_pylist()), self._no_name]
        return np.array(of_value, np.int32).take(values.indices.fill_null(len(of_value) - 1).to_numpy())
