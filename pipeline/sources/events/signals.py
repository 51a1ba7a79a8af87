"""GA4 events -> what the signals count in them, by visitor and item: for export files, tables, and the server."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from configs.settings.signals import ANY_EVENT
from pipeline.interactions import splits
from pipeline.interactions.columns import sorted_with_order
from pipeline.interactions.sessions import EVENTS, INTERACTIONS, MARK
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.events import occurrences
from pipeline.sources.events.fields import Fields
from pipeline.sources.events.occurrences import Occurrences
from pipeline.sources.events.parameters import Parameters, shown
from pipeline.sources.extract import (
    NO_SIGNAL,
    RECORDS,
    SEEN_EVENT,
    SEEN_PARAMETER,
    Extract,
    Ledger,
    column,
    faults,
    known_ids,
    open_ledger,
    times_of_records,
    within_window,
)
from pipeline.sources.items import attributes
from pipeline.sources.items.missing import NO_ITEM
from pipeline.sources.items.pages import PageRules
from pipeline.sources.items.strengths import marks, strengths
from pipeline.sources.visitors import attributes as visitor_attributes
from pipeline.sources.visitors.fields import PROPERTIES, PROPERTY, VISITOR_TYPE

_ITEMS = "items"  # the unit of the account for the elements of items[]
_SESSION_NUMBER = "ga_session_number"
_NO_USER = [None, b"", b"0"]  # user_ids of who is not signed in


def extract(
    raw: RawBatch, path: str, source: SourceSettings, rules: PageRules, before_ms: int | None = None
) -> Extract:
    """Return what the signals in events count.

    Args:
        raw: records with the fields of pipeline.sources.events.schema.
        path: their file, for the account.
        source: the signals, the preferred user id, and the window.
        rules: those of source.page.
        before_ms: the time from which on visitors' attributes do not count, as a split holds out what is later.

    Returns:
        columns of pipeline.interactions.sessions.EVENTS, or of INTERACTIONS if duplicates are kept, and the mark if a
        signal has it, one row per event and item; amounts may be 0 or below.
    """
    ledger = open_ledger(raw, path)
    events = _events_in_window(raw, source, ledger)
    of_visitors = _of_visitors(events.batch, source, before_ms) if source.visitor_attributes else None
    matched, (batch, numbers, names), visitors = _events_of_signals(events, source, ledger)
    is_counted = np.any(matched, axis=0, keepdims=True)[0]
    stamps, has_stamp = times_of_records(batch, "event_timestamp", "us", ledger)
    reasons = faults("visitor_id", visitors)
    reasons[~has_stamp] = "event_timestamp_invalid"
    fields = Fields(batch, source, rules)
    ledger.counts.update({SEEN_PARAMETER + name: number for name, number in fields.names(is_counted).items()})
    found = occurrences.find(fields, list(matched), source)
    ledger.found_ids(found.signal[found.item.is_valid().to_numpy(zero_copy_only=False)])
    found = _accounted(found, is_counted, reasons, visitors, numbers, ledger)
    times_ms = stamps // 1000
    of_row = times_ms[found.rows.event]
    described = {name: fields.described(field, found.rows) for name, field in source.item_attributes.items()}
    values = attributes.collect(found.item, of_row, described, source.names_of_no_id) if described else None
    amounts = strengths(found.amount, found.signal, of_row, source)
    again = marks(found.signal, source)
    event, item, amounts, again = _summed(_OfEvents(found.rows.event, found.item, amounts, again))
    arrays = [visitors.take(pa.array(event)), item, pa.array(amounts), pa.array(times_ms[event])]
    if source.drop_duplicate_events:
        hashes = _hashes(batch, names, stamps, source)[event]
        arrays.append(pa.array(splits.mix(hashes ^ amounts.view(np.uint64))))
    schema = EVENTS if source.drop_duplicate_events else INTERACTIONS
    if again is not None:
        arrays, schema = [*arrays, pa.array(again)], schema.append(MARK)
    table = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return Extract(table, ledger.rejects, ledger.counts, values, of_visitors, numbers[event])


class _Events(NamedTuple):
    """Records, their numbers int64[n] and their names as pipeline.interactions.columns.ID."""

    batch: pa.RecordBatch
    numbers: np.ndarray
    names: pa.DictionaryArray

    def filter(self, kept: np.ndarray) -> _Events:
        if kept.all():
            return self
        mask = pa.array(kept)
        return _Events(self.batch.filter(mask), self.numbers[kept], self.names.filter(mask))


class _OfSignals(NamedTuple):
    """The events of each signal, bool[signals, n], of some events; and their visitors, null where there is none."""

    matched: np.ndarray
    events: _Events
    visitors: pa.DictionaryArray


def _events_in_window(raw: RawBatch, source: SourceSettings, ledger: Ledger) -> _Events:
    """Return the events in the window; count the others."""
    inside = within_window(times.days(column(raw.columns, "event_date")), source, ledger, raw.numbers)
    names = columns.coded_ids(column(raw.columns, "event_name"))
    return _Events(raw.columns, raw.numbers, names).filter(inside)


def _of_visitors(events: pa.RecordBatch, source: SourceSettings, before_ms: int | None) -> pa.RecordBatch:
    """Return the values of the visitors' attributes in all events, those that no signal names too."""
    stamps, counts = times.since_1970(column(events, "event_timestamp"), "us")
    times_ms = stamps // 1000
    if before_ms is not None:
        counts = counts & (times_ms < before_ms)
    visitors = visitors_of(events, source).take(pa.array(np.arange(len(counts)), mask=~counts))
    fields = source.visitor_attributes.values()
    parameters = Parameters(column(events, "event_params")) if VISITOR_TYPE in fields else None
    properties = Parameters(column(events, PROPERTIES))

    def special(field: str) -> pa.Array:
        if parameters and field == VISITOR_TYPE:
            return parameters.of(_SESSION_NUMBER)
        return properties.of(field.removeprefix(PROPERTY))

    return visitor_attributes.collect(events, visitors, times_ms, source, special)


def _events_of_signals(events: _Events, source: SourceSettings, ledger: Ledger) -> _OfSignals:
    """Return the events of visitors that a signal names, and at most as many others; count those."""
    of_name = _signals_of_names(events.names, source, ledger)
    wanted = np.any(of_name, axis=0, keepdims=True)[0, _codes(events.names)]
    ledger.skip(RECORDS, NO_SIGNAL, (~wanted).sum())
    if wanted.sum() * 2 < len(wanted):  # to copy the others' fields takes longer than to look past a few events
        events, wanted = events.filter(wanted), np.ones(int(wanted.sum()), bool)
    visitors = visitors_of(events.batch, source)
    has_visitor = visitors.is_valid().to_numpy(zero_copy_only=False)
    ledger.skip(RECORDS, "no_visitor_id", (wanted & ~has_visitor).sum())
    return _OfSignals(of_name[:, _codes(events.names)] & has_visitor, events, visitors)


def _signals_of_names(names: pa.DictionaryArray, source: SourceSettings, ledger: Ledger) -> np.ndarray:
    """Return which signals each name of an event has, bool[signals, names + 1], the last for none; count the names."""
    known = names.dictionary.to_pylist()
    numbers = np.bincount(_codes(names), minlength=len(known) + 1).tolist()
    for name, number in zip([*known, None], numbers, strict=True):
        if number:
            ledger.counts[SEEN_EVENT + shown(name)] += number
    wanted = [{event.encode() for event in signal.event} for signal in source.all_signals]
    return np.array([[ANY_EVENT.encode() in events or name in events for name in (*known, None)] for events in wanted])


def _codes(ids: pa.DictionaryArray) -> np.ndarray:
    """Return the codes of ids, one more than the last of them for null."""
    return ids.indices.fill_null(len(ids.dictionary)).to_numpy()


def visitors_of(batch: pa.RecordBatch, source: SourceSettings) -> pa.DictionaryArray:
    visitors = known_ids(columns.coded_ids(column(batch, "user_pseudo_id")), source)
    if not source.prefer_user_id:
        return visitors
    users = known_ids(columns.ids(column(batch, "user_id")), source)
    is_user = pc.invert(pc.is_in(users, value_set=pa.array(_NO_USER, pa.binary())))
    return pc.if_else(is_user, users, columns.ids(visitors)).dictionary_encode()


def _accounted(
    found: Occurrences,
    is_counted: np.ndarray,
    reasons: np.ndarray,
    visitors: pa.Array,
    numbers: np.ndarray,
    ledger: Ledger,
) -> Occurrences:
    """Return the occurrences that count; account for the others, and for the events.

    An event that is invalid, or whose id is, is rejected whole; of its items, only those that are invalid.

    Args:
        is_counted: the events of signals and visitors, bool[events].
        reasons: why an event is invalid, object[events]; the occurrences' reasons are added.
    """
    reasons[~is_counted] = None
    event, of_items = found.rows.event, found.of_items
    is_skipped = found.skips != None  # noqa: E711 - elementwise
    is_bad = (found.faults != None) & ~is_skipped  # noqa: E711 - elementwise
    if (of_event := is_bad & ~of_items & (reasons[event] == None)).any():  # noqa: E711 - elementwise
        reasons[event[of_event]] = found.faults[of_event]
    place = np.full(len(reasons), -1)
    place[event] = np.arange(len(event))
    items = found.item.take(pa.array(place, mask=place < 0)) if (reasons != None).any() else None  # noqa: E711
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors, contentId=items)

    used, skips = np.zeros(len(reasons), bool), np.full(len(reasons), NO_ITEM, object)
    skips[event[is_bad]] = "no_valid_item"
    skips[event[is_skipped]] = found.skips[is_skipped]
    used[event[~is_bad & ~is_skipped]] = True
    _skip(ledger, RECORDS, skips[is_counted & sound & ~used])
    if of_items.any():
        of_sound = of_items & sound[event]
        ledger.counts[f"{_ITEMS}.read"] += int(of_sound.sum())
        _skip(ledger, _ITEMS, found.skips[of_sound & is_skipped])
        bad = found.filter(of_sound & is_bad)
        ledger.reject_where(_ITEMS, bad.faults, numbers[bad.rows.event], contentId=bad.item)
    return found.filter(~is_bad & ~is_skipped & sound[event])


def _skip(ledger: Ledger, unit: str, reasons: np.ndarray) -> None:
    for reason, number in Counter(reasons.tolist()).items():
        ledger.skip(unit, reason, number)


class _OfEvents(NamedTuple):
    """The row of the event int64[m], the item, what it counts float64[m], and whether it may be recommended again."""

    event: np.ndarray
    item: pa.DictionaryArray
    amounts: np.ndarray
    again: np.ndarray | None  # bool[m]


def _summed(found: _OfEvents) -> _OfEvents:
    """Return one row per event and item, summed over the lines of the event that name the item, and over signals."""
    event, item, amounts, again = found
    if (event[1:] > event[:-1]).all():
        return found
    size = max(len(item.dictionary), 1)
    keys, order = sorted_with_order(event * size + item.indices.to_numpy())
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    codes = pa.array((keys[starts] % size).astype(np.int32))
    items = pa.DictionaryArray.from_arrays(codes, item.dictionary)
    if again is not None:
        again = np.logical_and.reduceat(again[order], starts)
    return _OfEvents(keys[starts] // size, items, np.add.reduceat(amounts[order], starts), again)


def _hashes(batch: pa.RecordBatch, names: pa.DictionaryArray, stamps: np.ndarray, source: SourceSettings) -> np.ndarray:
    """Return what tells events of one visitor apart, uint64[events]: the id that is not the visitor's is one."""
    other = columns.coded_ids(column(batch, "user_pseudo_id" if source.prefer_user_id else "user_id"))
    numbers = [columns.integers(column(batch, name))[0] for name in ("event_bundle_sequence_id", "batch_event_index")]
    hashes = splits.hash_ids(names, seed=0)
    for codes in (splits.hash_ids(other, seed=0), stamps, *numbers):
        hashes = splits.mix(hashes ^ codes.astype(np.uint64))
    return hashes
