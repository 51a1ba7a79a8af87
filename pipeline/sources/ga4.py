"""GA4 events (events_YYYYMMDD, one row per event) -> engagement by visitor and item."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings, SplitSettings
from pipeline.interactions import sessions, splits
from pipeline.interactions.sessions import EVENTS, INTERACTIONS
from pipeline.readers.files import ExportReader
from pipeline.readers.json_arrow import integer
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.extract import RECORDS, Extract, Ledger, column, faults, known_ids, open_ledger, within_window
from pipeline.sources.source import Source

ENGAGEMENT = "engagement_time_msec"
PAGE_LOCATION = "page_location"
_NO_USER = [None, b"", b"0"]  # user_ids of who is not signed in
_OF_NULL = np.uint64(1 << 32)  # in place of a null's checksum; no CRC-32 is as large
_VALUE_FIELDS = ("string_value", "int_value", "float_value", "double_value")
_VALUE = pa.struct(
    [
        pa.field("string_value", pa.string()),
        integer("int_value"),
        pa.field("float_value", pa.float64()),
        pa.field("double_value", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("event_date", pa.string()),
        integer("event_timestamp"),
        pa.field("event_name", pa.string()),
        integer("event_bundle_sequence_id"),
        pa.field("event_params", pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", _VALUE)]))),
        pa.field("user_id", pa.string()),
        pa.field("user_pseudo_id", pa.string()),
    ]
)


class Ga4(Source):
    """GA4 events in export files."""

    def __init__(self, settings: SourceSettings, split: SplitSettings, reader: ExportReader | None = None):
        super().__init__(settings, (reader or ExportReader(SCHEMA)).read, schema=SCHEMA)
        self._split = split

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        return extract(raw, path, self.settings)

    def shrink(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Sum the engagement of each pair; bots and duplicates are found by single events."""
        if self.settings.filters_bots or self.settings.drop_duplicate_events or not rows.num_rows:
            return rows
        pairs = splits.on_each_side(pa.Table.from_batches([rows]), sessions.sum_pairs, self._split)
        return pairs.combine_chunks().to_batches()[0]

    def interactions(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return the events, without exact duplicates."""
        if not self.settings.drop_duplicate_events:
            return rows, Counter()
        events = sessions.distinct(rows)
        return events, Counter({"views.skipped.duplicate_event": rows.num_rows - events.num_rows})


def extract(raw: RawBatch, path: str, source: SourceSettings) -> Extract:
    """Return the engagement time of each event with an item.

    Args:
        raw: records with the fields of SCHEMA.
        path: their file, for the account.
        source: the parameter with the contentId, the preferred user id, and the window.

    Returns:
        columns of pipeline.interactions.sessions.EVENTS, or of INTERACTIONS if duplicates are kept; amounts may be 0.
    """
    ledger = open_ledger(raw, path)
    inside = within_window(times.days(column(raw.columns, "event_date")), source, ledger, raw.numbers)
    batch, numbers = raw.columns.filter(pa.array(inside)), raw.numbers[inside]
    visitors = known_ids(columns.ids(column(batch, "user_pseudo_id")), source)
    if source.prefer_user_id:
        users = known_ids(columns.ids(column(batch, "user_id")), source)
        is_user = pc.invert(pc.is_in(users, value_set=pa.array(_NO_USER, pa.binary())))
        visitors = pc.if_else(is_user, users, visitors)
    stamps, has_stamp = times.since_1970(column(batch, "event_timestamp"), "us")
    items, engaged, sound_engagement = _parameters(column(batch, "event_params"), source, ledger)

    has_visitor = visitors.is_valid().to_numpy(zero_copy_only=False)
    has_item = items.is_valid().to_numpy(zero_copy_only=False)
    ledger.skip(RECORDS, "no_visitor_id", (~has_visitor).sum())
    ledger.skip(RECORDS, "no_item", (has_visitor & ~has_item).sum())
    wanted = has_visitor & has_item
    reasons = faults("content_id", items)
    visitor_faults = faults("visitor_id", visitors)
    reasons[visitor_faults != None] = visitor_faults[visitor_faults != None]  # noqa: E711 - elementwise
    reasons[~sound_engagement] = "engagement_invalid"
    reasons[~has_stamp] = "event_timestamp_invalid"
    reasons[~wanted] = None
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors, contentId=items)
    arrays = [
        columns.coded_ids(visitors),
        columns.coded_ids(items),
        pa.array(engaged.astype(np.float64)),
        pa.array(stamps // 1000),
    ]
    table = pa.RecordBatch.from_arrays(arrays, schema=INTERACTIONS)
    if source.drop_duplicate_events:
        events = _hashes(batch, stamps, engaged)
        table = pa.RecordBatch.from_arrays([*arrays, pa.array(events)], schema=EVENTS)
    return Extract(table.filter(pa.array(wanted & sound)), ledger.rejects, ledger.counts)


def _hashes(batch: pa.RecordBatch, stamps: np.ndarray, engaged: np.ndarray) -> np.ndarray:
    """Return what tells events of one visitor and item apart, uint64[n]."""
    texts = [columns.coded_ids(column(batch, name)) for name in ("event_name", "user_pseudo_id", "user_id")]
    bundles, _ = columns.integers(column(batch, "event_bundle_sequence_id"))
    hashes = np.zeros(len(stamps), np.uint64)
    params = _hashes_of_parameters(column(batch, "event_params"))
    for codes in (*(splits.hash_ids(ids, seed=0) for ids in texts), stamps, bundles, engaged, params):
        hashes = splits.mix(hashes ^ codes.astype(np.uint64))
    return hashes


def _hashes_of_parameters(params: pa.Array) -> np.ndarray:
    """Return a hash of all parameters of each event, in any order, uint64[n]."""
    if pa.types.is_null(params.type):
        return np.zeros(len(params), np.uint64)
    flat = pc.list_flatten(params)
    values = columns.field(flat, "value")
    hashes = _checksums(columns.ids(columns.field(flat, "key")))
    for name in _VALUE_FIELDS:
        field = columns.field(values, name)
        # A field that is null in all rows of a batch has no type: an event's hash must not depend on the other rows.
        codes = _checksums(columns.ids(field)) if field.null_count < len(field) else _OF_NULL
        hashes = splits.mix(hashes ^ codes)
    sums = np.append(np.uint64(0), np.cumsum(splits.mix(hashes)))
    ends = np.append(0, np.cumsum(pc.list_value_length(params).fill_null(0).to_numpy()))
    return sums[ends[1:]] - sums[ends[:-1]]


def _checksums(ids: pa.BinaryArray) -> np.ndarray:
    """Return the CRC-32 of each value, uint64[n]; of a null, _OF_NULL."""
    coded = ids.dictionary_encode()
    of_value = [zlib.crc32(value) for value in coded.dictionary.to_pylist()] + [_OF_NULL]
    return np.array(of_value, np.uint64)[coded.indices.fill_null(len(of_value) - 1).to_numpy()]


class _Parameters(NamedTuple):
    """The values of each event's parameters."""

    items: pa.BinaryArray  # null where the event has no item
    engaged: np.ndarray  # int64[n], ms
    sound: np.ndarray  # bool[n]: whether the engagement is valid


def _parameters(params: pa.Array, source: SourceSettings, ledger: Ledger) -> _Parameters:
    events = len(params)
    if pa.types.is_null(params.type):
        return _Parameters(pa.nulls(events, pa.binary()), np.zeros(events, np.int64), np.ones(events, bool))
    event = pc.list_parent_indices(params).to_numpy().astype(np.int64)
    flat = pc.list_flatten(params)
    keys = columns.ids(columns.field(flat, "key"))
    for found in pc.value_counts(keys).to_pylist():
        name = (found["values"] or b"")[:100].decode("utf-8", "backslashreplace")
        ledger.counts[f"seen.parameter.{name}"] += found["counts"]

    places = _places(keys, source.item_parameter)
    texts = _text(columns.field(flat.take(pa.array(places)), "value"))
    if source.item_parameter == PAGE_LOCATION:
        texts = pc.replace_substring_regex(texts, r"(?s)[?#].*", "")
    chosen = np.full(events, -1, np.int64)
    chosen[event[places][::-1]] = np.arange(len(places))[::-1]  # the first, where an event has it twice
    items = known_ids(texts.take(pa.array(chosen, mask=chosen < 0)), source)

    places = _places(keys, ENGAGEMENT)
    values = columns.field(flat.take(pa.array(places)), "value")
    durations, has_duration = times.since_1970(_text(values), "ms")
    engaged, sound = np.zeros(events, np.int64), np.ones(events, bool)
    np.add.at(engaged, event[places], durations)
    absent = _text(values).is_null().to_numpy(zero_copy_only=False)
    sound[event[places][~has_duration & ~absent]] = False
    return _Parameters(items, engaged, sound)


def _places(keys: pa.BinaryArray, name: str) -> np.ndarray:
    return np.flatnonzero(pc.equal(keys, name.encode()).fill_null(False).to_numpy(zero_copy_only=False))


def _text(values: pa.Array) -> pa.BinaryArray:
    """Return the value of a parameter as text; it is in one of four fields."""
    return pc.coalesce(*(columns.ids(columns.field(values, name)) for name in _VALUE_FIELDS))
