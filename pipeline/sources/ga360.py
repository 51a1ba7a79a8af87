"""GA360 sessions (ga_sessions_YYYYMMDD, one row per session) -> page views."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from pipeline.interactions import sessions
from pipeline.interactions.columns import ID
from pipeline.interactions.sessions import VIEWS
from pipeline.readers.files import ExportReader
from pipeline.readers.json_arrow import integer
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.extract import RECORDS, Extract, Ledger, column, faults, known_ids, open_ledger, within_window
from pipeline.sources.source import Source

HITS = "hits"
_DIMENSION = pa.struct([integer("index"), pa.field("value", pa.string())])
_HIT = pa.struct(
    [
        integer("hitNumber"),
        integer("time"),
        pa.field("type", pa.string()),
        pa.field("customDimensions", pa.list_(_DIMENSION)),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("fullVisitorId", pa.string()),
        integer("visitNumber"),
        integer("visitId"),
        integer("visitStartTime"),
        pa.field("date", pa.string()),
        pa.field("hits", pa.list_(_HIT)),
    ]
)


class Ga360(Source):
    """GA360 sessions in export files."""

    def __init__(self, settings: SourceSettings, reader: ExportReader | None = None):
        super().__init__(settings, (reader or ExportReader(SCHEMA)).read, schema=SCHEMA)

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        return extract(raw, path, self.settings)

    def interactions(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per page view of an item, with its dwell."""
        return sessions.dwell(rows), Counter()


def extract(raw: RawBatch, path: str, source: SourceSettings) -> Extract:
    """Return the page views of sessions.

    Args:
        raw: records with the fields of SCHEMA.
        path: their file, for the account.
        source: the dimension with the contentId, the kind of visitor, and the window.

    Returns:
        columns of pipeline.interactions.sessions.VIEWS.
    """
    ledger = open_ledger(raw, path)
    inside = within_window(times.days(column(raw.columns, "date")), source, ledger, raw.numbers)
    batch, numbers = raw.columns, raw.numbers
    if not inside.all():
        batch, numbers = batch.filter(pa.array(inside)), numbers[inside]
    visitors = known_ids(columns.ids(column(batch, "fullVisitorId")), source)
    visit_ids, has_visit = columns.integers(column(batch, "visitId"))
    starts, has_start = times.since_1970(column(batch, "visitStartTime"), "s")
    visit_numbers, has_number = columns.integers(column(batch, "visitNumber"))

    reasons = faults("visitor_id", visitors)
    reasons[~has_start] = "visit_start_time_invalid"
    reasons[~has_visit] = "visit_id_invalid"
    if source.visitor_key == "visit":
        reasons[~has_number] = "visit_number_invalid"
        visitors = pc.binary_join_element_wise(
            visitors, pa.array(visit_numbers).cast(pa.string()).cast(pa.binary()), b"-"
        )
    reasons[visitors.is_null().to_numpy(zero_copy_only=False)] = "visitor_id_missing"
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors)

    pages = _pages(column(batch, HITS), sound, numbers, source, ledger)
    sessions = pa.array(pages.session)
    used = np.zeros(batch.num_rows, bool)
    used[pages.session[pages.item.is_valid().to_numpy(zero_copy_only=False)]] = True
    ledger.skip(RECORDS, "no_item", (sound & ~used).sum())
    views = pa.RecordBatch.from_arrays(
        [
            columns.coded_ids(visitors).take(sessions),
            pa.array(visit_ids).take(sessions),
            pa.array(pages.time),
            pa.array(pages.number),
            pa.array(starts * 1000).take(sessions),
            pages.item,
        ],
        schema=VIEWS,
    )
    return Extract(views, ledger.rejects, ledger.counts)


class _Pages(NamedTuple):
    """Hits of type PAGE."""

    session: np.ndarray  # int64[n]: the row of the batch
    time: np.ndarray  # int64[n], ms since the session's start
    number: np.ndarray  # int64[n]
    item: pa.DictionaryArray  # null where the page has no item


def _pages(hits: pa.Array, sound: np.ndarray, numbers: np.ndarray, source: SourceSettings, ledger: Ledger) -> _Pages:
    if pa.types.is_null(hits.type):
        empty = np.zeros(0, np.int64)
        return _Pages(empty, empty, empty, pa.array([], ID))
    session = pc.list_parent_indices(hits).to_numpy().astype(np.int64)
    flat = pc.list_flatten(hits)
    is_page = pc.equal(columns.field(flat, "type"), "PAGE")
    is_page = is_page.fill_null(False).to_numpy(zero_copy_only=False)
    kept = sound[session] & is_page
    ledger.counts["hits.read"] += int(sound[session].sum())
    ledger.skip("hits", "no_page", (sound[session] & ~is_page).sum())
    session, pages = session[kept], pa.array(kept)

    time, has_time = times.since_1970(columns.field(flat, "time").filter(pages), "ms")
    number, _ = columns.integers(columns.field(flat, "hitNumber").filter(pages))
    item = columns.coded_ids(known_ids(_item(flat, kept, source.item_dimension_index, ledger), source))
    reasons = faults("content_id", item)
    bad_item = reasons != None  # noqa: E711 - elementwise
    bad_time = ~has_time
    reasons[bad_time] = "hit_time_invalid"
    ledger.reject_where("hits", reasons, numbers[session], contentId=item, hitNumber=pa.array(number))
    # A page whose item cannot be kept still ends the dwell of the page before it.
    missing = item.is_null().to_numpy(zero_copy_only=False)
    ledger.skip("hits", "no_item", (missing & ~bad_time).sum())
    timed, codes = ~bad_time, item.indices.fill_null(0).to_numpy()
    kept_codes = pa.array(codes[timed], mask=(missing | bad_item)[timed])
    item = pa.DictionaryArray.from_arrays(kept_codes, item.dictionary)
    return _Pages(session[timed], time[timed], number[timed], item)


def _item(hits: pa.StructArray, kept: np.ndarray, index: int, ledger: Ledger) -> pa.BinaryArray:
    """Return the custom dimension of the given index of each kept hit; null where it has none."""
    dimensions = columns.field(hits, "customDimensions")
    if pa.types.is_null(dimensions.type):
        return pa.nulls(int(kept.sum()), pa.binary())
    hit = pc.list_parent_indices(dimensions).to_numpy().astype(np.int64)
    flat = pc.list_flatten(dimensions)
    found, is_index = columns.integers(columns.field(flat, "index"))
    is_index &= kept[hit]
    for seen in pc.value_counts(pa.array(found[is_index])).to_pylist():
        ledger.counts[f"seen.dimension.{seen['values']}"] += seen["counts"]
    values = columns.ids(columns.field(flat, "value"))
    places = np.flatnonzero(is_index & (found == index) & values.is_valid().to_numpy(zero_copy_only=False))
    hit = hit[places]
    if (hit[1:] == hit[:-1]).any():  # MAX(IF(index = N, value, NULL)), as in the SQL
        order = sorted(range(len(places)), key=lambda at: (hit[at], values[places[at]].as_py()))
        places, hit = places[order], hit[order]
    chosen = np.full(len(hits), -1, np.int64)
    chosen[hit] = places
    chosen = chosen[kept]
    return values.take(pa.array(chosen, mask=chosen < 0))
