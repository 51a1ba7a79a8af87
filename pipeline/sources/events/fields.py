"""The values of a signal's or an attribute's field, by rows of events and their items."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from pipeline.sources import columns, times
from pipeline.sources.columns import NOTHING, taken
from pipeline.sources.events.parameters import Parameters, flat
from pipeline.sources.events.schema import ITEM, QUANTITY
from pipeline.sources.extract import column, known_ids
from pipeline.sources.items.attributes import Located
from pipeline.sources.items.pages import PageRules, Pages

_ENGAGEMENT, _LOCATION = "engagement_time_msec", "page_location"
_SCREENS = ("firebase_screen", "firebase_screen_class")


class Rows(NamedTuple):
    """The places of values: an event and one of its items, int64[m] each; NOTHING for the event itself."""

    event: np.ndarray
    item: np.ndarray

    def take(self, places: np.ndarray) -> Rows:
        return Rows(self.event[places], self.item[places])


class Amounts(NamedTuple):
    """The amounts of rows before their weight, float64[m]; where a value is missing or invalid, bool[m] each."""

    values: np.ndarray
    missing: np.ndarray
    invalid: np.ndarray


class Fields:
    """The fields of a batch of events, as flat columns."""

    def __init__(self, events: pa.RecordBatch, source: SourceSettings, rules: PageRules):
        """Take events with fields of pipeline.sources.events.schema."""
        self._size, self._source, self._rules = events.num_rows, source, rules
        self._items_of_event, self._event_of_item, self._items = flat(column(events, "items"))
        self._parameters = Parameters(column(events, "event_params"))

    def rows(self, item: str, events: np.ndarray) -> Rows:
        """Return what to look at for a signal's item: the items of events, bool[events], or the events."""
        if not item.startswith(ITEM):
            at = np.flatnonzero(events)
            return Rows(at, np.full(len(at), NOTHING))
        items = np.flatnonzero(events[self._event_of_item])
        return Rows(self._event_of_item[items], items)

    def sizes(self, rows: Rows) -> np.ndarray:
        """Return the number of items of each row's event, int64[m]."""
        return self._items_of_event[rows.event]

    def values(self, field: str, rows: Rows) -> pa.Array:
        """Return the value of a field in each row, text or numbers; null where there is none."""
        return taken(*self._located(field, rows))

    def _located(self, field: str, rows: Rows) -> Located:
        if field.startswith(ITEM):
            return Located(columns.field(self._items, field.removeprefix(ITEM)), rows.item)
        return Located(self._of_events(field), rows.event)

    def described(self, field: str, rows: Rows) -> Located:
        """Return the values of an attribute's field in each row.

        A field of items describes an item of another kind where the event has just one of items.
        """
        if field.startswith(ITEM):
            rows = Rows(rows.event, np.where(rows.item < 0, self._only[rows.event], rows.item))
        return self._located(field, rows)

    def pages(self, rows: Rows) -> Pages:
        """Return the pages of rows under the page rules."""
        return self._rules.of(self.values(f"param.{_LOCATION}", rows))

    def amounts(self, amount: str, rows: Rows) -> Amounts:
        """Return what rows count: an item without quantity counts 1, and an event without number is left out."""
        if amount == "count":
            return Amounts(np.ones(len(rows.event)), *np.zeros((2, len(rows.event)), bool))
        values = self.values(ITEM + QUANTITY if amount == QUANTITY else amount, rows)
        numbers, sound = columns.floats(values)
        missing = values.is_null().to_numpy(zero_copy_only=False)
        if amount != QUANTITY:
            return Amounts(numbers, missing, ~sound & ~missing)
        return Amounts(
            np.where(missing, 1, numbers), np.zeros(len(missing), bool), ~(sound & (numbers >= 0)) & ~missing
        )

    def dwells(self, rows: Rows) -> Amounts:
        """Return the engagement of rows in ms, 0 where an event has none."""
        values = self.values(f"param.{_ENGAGEMENT}", rows)
        numbers, sound = times.durations(values)
        missing = values.is_null().to_numpy(zero_copy_only=False)
        return Amounts(numbers.astype(np.float64), np.zeros(len(missing), bool), ~sound & ~missing)

    def names(self, events: np.ndarray) -> Counter[str]:
        """Return the number of parameters of some events, bool[events], by name."""
        return self._parameters.names(events)

    def _of_events(self, field: str) -> pa.Array:
        """Return a field of each event, binary or ID [events]."""
        if field == "page":
            return self._rules.of(self._parameters.of(_LOCATION)).ids
        if field == "screen":
            return pc.coalesce(*(known_ids(self._parameters.of(name), self._source) for name in _SCREENS))
        return self._parameters.of(field.removeprefix("param."))

    @cached_property
    def _only(self) -> np.ndarray:
        """The item of each event that has just one, int64[events]; else NOTHING."""
        only = np.full(self._size, NOTHING)
        only[self._event_of_item] = np.arange(len(self._event_of_item))
        only[self._items_of_event != 1] = NOTHING
        return only
