"""GA360 sessions (ga_sessions_YYYYMMDD, one row per session) -> what its signals count, by visitor and item.

A hit has the events that hits.events names. A signal of dwell makes a view of each page (or screen): the view lasts to
the next page of the session, which may be in the table of the next day, so that it is measured once all of a visitor's
rows are together. Any other signal makes an occurrence with its amount.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AMOUNT, TIME_MS
from configs.settings import SourceSettings, SplitSettings
from pipeline.interactions import sessions, splits
from pipeline.interactions.columns import ID
from pipeline.interactions.sessions import INTERACTIONS, MARK, SERIES, VIEWS
from pipeline.readers.files import ExportReader
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.extract import (
    RECORDS,
    Extract,
    Ledger,
    column,
    faults,
    known_ids,
    open_ledger,
    times_of_records,
    within_window,
)
from pipeline.sources.hits.dimensions import Dimensions
from pipeline.sources.hits.fields import Hits
from pipeline.sources.hits.occurrences import Occurrences, find, signals_of
from pipeline.sources.hits.schema import DIMENSIONS, SCHEMA, schema_of
from pipeline.sources.items import attributes
from pipeline.sources.items.pages import PageRules
from pipeline.sources.items.strengths import marks, strengths
from pipeline.sources.source import Source
from pipeline.sources.visitors import attributes as visitor_attributes
from pipeline.sources.visitors.fields import DIMENSION, VISITOR_TYPE

__all__ = ["SCHEMA", "Ga360", "extract"]


class Ga360(Source):
    """GA360 sessions in export files."""

    def __init__(
        self,
        settings: SourceSettings,
        reader: ExportReader | None = None,
        split: SplitSettings = SplitSettings(),  # noqa: B008 - frozen
    ):
        """Prepare the rules.

        Raises:
            UserError: an expression of the page rules is not valid.
        """
        schema = schema_of(settings)
        reader = reader or ExportReader(schema)
        super().__init__(settings, reader.read, schema=schema)
        self._rules = PageRules(settings.page_rules)
        self._split = split

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        before_ms = self._split.time_ms if self._split.kind == "time" else None
        return extract(raw, path, self.settings, self._rules, before_ms)

    def shrink(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Sum the occurrences of each pair; views are measured with those of other files, and bots found by rows."""
        if rows.schema.equals(VIEWS) or self.settings.filters_bots or not rows.num_rows:
            return rows
        pairs = splits.on_each_side(pa.Table.from_batches([rows]), sessions.sum_pairs, self._split)
        return pairs.combine_chunks().to_batches()[0]

    def interactions(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per occurrence of a signal; of a view, with its dwell."""
        if not rows.schema.equals(VIEWS):
            return rows, Counter()
        views = sessions.dwell(rows)
        signals = signals_of(views[SERIES].to_numpy())
        amounts = strengths(views[AMOUNT].to_numpy(), signals, views[TIME_MS].to_numpy(), self.settings)
        index, again = INTERACTIONS.get_field_index(AMOUNT), marks(signals, self.settings)
        table = views.select(INTERACTIONS.names).set_column(index, AMOUNT, pa.array(amounts))
        return (table if again is None else table.append_column(MARK, pa.array(again))), Counter()


def extract(
    raw: RawBatch,
    path: str,
    source: SourceSettings,
    rules: PageRules | None = None,
    before_ms: int | None = None,
) -> Extract:
    """Return what the signals find in sessions.

    Args:
        raw: records with fields of SCHEMA.
        path: their file, for the account.
        source: the signals, the attributes, the kind of visitor, and the window.
        rules: those of source.page, if they are made already.
        before_ms: the time from which on visitors' attributes do not count, as a split holds out what is later.

    Returns:
        columns of pipeline.interactions.sessions.VIEWS if a signal counts dwells, else of INTERACTIONS, and the mark if
        a signal has it.
    """
    ledger = open_ledger(raw, path)
    inside = within_window(times.days(column(raw.columns, "date")), source, ledger, raw.numbers)
    batch, numbers = raw.columns, raw.numbers
    if not inside.all():
        batch, numbers = batch.filter(pa.array(inside)), numbers[inside]
    visits, sound = visits_of(batch, numbers, source, ledger)
    hits = Hits(batch, rules or PageRules(source.page_rules))
    time, has_time = times.durations(columns.field(hits.flat, "time"))
    parts = find(hits, sound[hits.session], has_time, numbers, source, ledger)
    used = np.zeros(batch.num_rows, bool)
    for part in parts:
        used[hits.session[part.rows.hit[part.item.is_valid().to_numpy(zero_copy_only=False)]]] = True
    ledger.skip(RECORDS, "no_item", (sound & ~used).sum())
    table = _table(hits, visits, time, parts, source)
    of_visitors = _of_visitors(batch, visits, sound, source, before_ms) if source.visitor_attributes else None
    return Extract(table, ledger.rejects, ledger.counts, _attributes(hits, visits, time, parts, source), of_visitors)


class _Visits(NamedTuple):
    """The sessions of a batch."""

    visitor: pa.DictionaryArray
    number: np.ndarray  # visitId, int64[n]
    start: np.ndarray  # int64[n], ms


def visits_of(
    batch: pa.RecordBatch, numbers: np.ndarray, source: SourceSettings, ledger: Ledger
) -> tuple[_Visits, np.ndarray]:
    """Return the sessions, and which of them are sound, bool[n]; reject the others."""
    visitors = known_ids(columns.coded_ids(column(batch, "fullVisitorId")), source)
    visit_ids, has_visit = columns.integers(column(batch, "visitId"))
    starts, has_start = times_of_records(batch, "visitStartTime", "s", ledger)
    visit_numbers, has_number = columns.integers(column(batch, "visitNumber"))
    reasons = faults("visitor_id", visitors)
    reasons[~has_start] = "visit_start_time_invalid"
    reasons[~has_visit] = "visit_id_invalid"
    if source.visitor_key == "visit":
        reasons[~has_number] = "visit_number_invalid"
        numbers_of_visits = pa.array(visit_numbers).cast(pa.string()).cast(pa.binary())
        visitors = pc.binary_join_element_wise(visitors.dictionary_decode(), numbers_of_visits, b"-")
        visitors = visitors.dictionary_encode()
    reasons[visitors.is_null().to_numpy(zero_copy_only=False)] = "visitor_id_missing"
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors)
    return _Visits(visitors, visit_ids, starts * 1000), sound


def _table(
    hits: Hits, visits: _Visits, time: np.ndarray, parts: list[Occurrences], source: SourceSettings
) -> pa.RecordBatch:
    """Return the rows of all signals."""
    item = pa.chunked_array([part.item for part in parts], ID).unify_dictionaries().combine_chunks()
    hit, series, amount = (
        np.concatenate(columns_) for columns_ in zip(*((p.rows.hit, p.series, p.amount) for p in parts), strict=True)
    )
    session = hits.session[hit]
    taken, times_ms = pa.array(session), visits.start[session] + time[hit]
    visitor = visits.visitor.take(taken)
    if not any(signal.dwell for signal in source.all_signals):
        signals = signals_of(series)
        amount, again = strengths(amount, signals, times_ms, source), marks(signals, source)
        rows = [visitor, item, pa.array(amount), pa.array(times_ms)]
        if again is None:
            return pa.RecordBatch.from_arrays(rows, schema=INTERACTIONS)
        return pa.RecordBatch.from_arrays([*rows, pa.array(again)], schema=INTERACTIONS.append(MARK))
    numbers, _ = columns.integers(columns.field(hits.flat, "hitNumber"))
    views = [visits.number[session], time[hit], numbers[hit], visits.start[session]]
    amounts = pa.array(amount, mask=np.isnan(amount))
    arrays = [visitor, *map(pa.array, views), item, pa.array(series), amounts]
    return pa.RecordBatch.from_arrays(arrays, schema=VIEWS)


def _attributes(
    hits: Hits, visits: _Visits, time: np.ndarray, parts: list[Occurrences], source: SourceSettings
) -> pa.RecordBatch | None:
    """Return the values of the items' attributes in the rows of all signals."""
    if not source.item_attributes:
        return None
    batches = []
    for part in parts:
        times_ms = visits.start[hits.session[part.rows.hit]] + time[part.rows.hit]
        fields = hits.described(source.item_attributes, part.rows)
        batches.append(attributes.collect(part.item, times_ms, fields, source.names_of_no_id))
    return batches[0] if len(batches) == 1 else attributes.add_up(pa.Table.from_batches(batches))


def _of_visitors(
    sessions: pa.RecordBatch, visits: _Visits, sound: np.ndarray, source: SourceSettings, before_ms: int | None
) -> pa.RecordBatch:
    """Return the values of the visitors' attributes in sound sessions, those without an item too."""
    counts = sound if before_ms is None else sound & (visits.start < before_ms)
    visitors = visits.visitor.take(pa.array(np.arange(len(counts)), mask=~counts))
    dimensions = Dimensions(column(sessions, DIMENSIONS))

    def special(field: str) -> pa.Array:
        if field == VISITOR_TYPE:
            return column(sessions, "visitNumber")
        values, place = dimensions.choose(int(field.removeprefix(DIMENSION)))
        return columns.taken(values, place[:-1])

    return visitor_attributes.collect(sessions, visitors, visits.start, source, special)
