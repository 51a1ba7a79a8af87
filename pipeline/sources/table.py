"""A table of visitors and items with a dwell, a rating or neither -> interactions, one per row."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions import sessions
from pipeline.interactions.sessions import INTERACTIONS
from pipeline.readers.csv_rows import CsvReader
from pipeline.readers.files import TableReader
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.extract import (
    RECORDS,
    Extract,
    faults,
    known_ids,
    open_ledger,
    reasons_where,
    within_window,
)
from pipeline.sources.source import Read, Source

DIALECT = "seen.csv."  # files by their dialect
_ROW_BITS = 31  # of a row's number in its file


class Table(Source):
    """A table in files or in BigQuery."""

    def __init__(
        self, settings: SourceSettings, rating: RatingSettings, read: Read | None = None, label: str | None = None
    ):
        names = column_names(settings)
        super().__init__(settings, read or TableReader(names, CsvReader(names, settings.csv)).read, label)
        self._rating = rating

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        return extract(raw, path, self.settings, self._rating)

    def combine(self, interactions: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per pair: the last rating, or the summed dwell.

        Raise UserError if the table has no times, and a pair has different ratings of which none is known to be the
        last.
        """
        if not self.settings.rating_column:
            return super().combine(interactions)
        pairs = sessions.last_of_pairs(interactions)
        if self.settings.time_column:
            return pairs, Counter()
        if pairs.num_rows < interactions.num_rows and _has_contradiction(interactions, in_files=self._label is None):
            raise UserError(
                "a pair of visitor and item has different ratings in several files or rows of a query, and the last is "
                "not known: set source.time_column, or keep one rating per pair"
            )
        timeless = pa.array(np.zeros(pairs.num_rows, np.int64))
        return pairs.set_column(pairs.schema.get_field_index(TIME_MS), TIME_MS, timeless), Counter()


def _has_contradiction(interactions: pa.Table, in_files: bool) -> bool:
    """Return whether a pair has different ratings in different files, or in any rows where these have no order."""
    order = interactions[TIME_MS].to_numpy() >> _ROW_BITS if in_files else np.arange(interactions.num_rows)
    keys = {name: interactions[name].cast(pa.binary()) for name in (VISITOR_ID, CONTENT_ID)}
    counts = pa.table({**keys, "order": order, AMOUNT: interactions[AMOUNT]}).group_by(list(keys))
    counts = counts.aggregate([("order", "count_distinct"), (AMOUNT, "count_distinct")])
    return bool((np.minimum(*(counts[f"{name}_count_distinct"].to_numpy() for name in ("order", AMOUNT))) > 1).any())


def column_names(source: SourceSettings) -> list[str]:
    """Return the columns of the table that the settings name; raise UserError if a window has no column of times."""
    if (source.start_date or source.end_date) and not source.time_column:
        raise UserError("start_date and end_date need source.time_column where the source is a table")
    names = [source.visitor_column, source.item_column]
    return names + [name for name in (source.duration_column or source.rating_column, source.time_column) if name]


def extract(raw: RawBatch, path: str, source: SourceSettings, rating: RatingSettings) -> Extract:
    """Check the rows of a table.

    Args:
        raw: records with the columns of `column_names`.
        path: their file, for the account.
        source: the names of the columns, and the window (days in UTC).
        rating: the ratings of the answers, where they are ordinal.

    Returns:
        columns of pipeline.interactions.sessions.INTERACTIONS; the amount is 1 where the table has none.
    """
    ledger = open_ledger(raw, path)
    batch, numbers = raw.columns, raw.numbers
    # Without times, a row's file and number order the ratings of a pair until `Table.combine`.
    stamps = numbers + (zlib.crc32(path.encode()) << _ROW_BITS) if source.rating_column else np.zeros_like(numbers)
    if raw.dialect:
        ledger.counts[f"{DIALECT}{raw.dialect}"] += 1
    if source.time_column:
        column = batch.column(source.time_column)
        unit = None if source.time_unit == "auto" else source.time_unit
        stamps, has_time = times.milliseconds(column, unit)
        ledger.count_units(times.units_where(column, has_time, unit or "ms"))
        ids = {"visitorId": columns.ids(batch.column(source.visitor_column))}
        timed = ledger.reject_where(RECORDS, reasons_where(~has_time, "time_invalid"), numbers, **ids)
        batch, numbers, stamps = batch.filter(pa.array(timed)), numbers[timed], stamps[timed]
        inside = within_window(times.days_of(stamps), source, ledger, numbers)
        batch, numbers, stamps = batch.filter(pa.array(inside)), numbers[inside], stamps[inside]

    visitors = known_ids(columns.coded_ids(batch.column(source.visitor_column)), source)
    items = known_ids(columns.coded_ids(batch.column(source.item_column)), source)
    amounts, has_amount, fault = _amounts(batch, source, rating)
    reasons = faults("content_id", items)
    visitor_faults = faults("visitor_id", visitors)
    reasons[visitor_faults != None] = visitor_faults[visitor_faults != None]  # noqa: E711 - elementwise
    reasons[items.is_null().to_numpy(zero_copy_only=False)] = "content_id_missing"
    reasons[visitors.is_null().to_numpy(zero_copy_only=False)] = "visitor_id_missing"
    reasons[~has_amount] = fault
    reasons[_is_header(visitors, source.visitor_column) & _is_header(items, source.item_column)] = "header"
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors, contentId=items)
    table = pa.RecordBatch.from_arrays([visitors, items, pa.array(amounts), pa.array(stamps)], schema=INTERACTIONS)
    return Extract(table.filter(pa.array(sound)), ledger.rejects, ledger.counts)


def _is_header(ids: pa.DictionaryArray, name: str) -> np.ndarray:
    """Return where ids are the column's own name, as in the header of a file that was put after another, bool[n]."""
    names = [name.encode(), f"\ufeff{name}".encode()]
    is_name = pc.is_in(ids.dictionary, value_set=pa.array(names, pa.binary())).to_numpy(zero_copy_only=False)
    return np.append(is_name, False)[ids.indices.fill_null(len(is_name)).to_numpy()]


class _Amounts(NamedTuple):
    values: np.ndarray  # float64[n]
    sound: np.ndarray  # bool[n]
    fault: str  # the reason where an amount is not sound


def _amounts(batch: pa.RecordBatch, source: SourceSettings, rating: RatingSettings) -> _Amounts:
    """Return the amounts of the rows."""
    if source.rating_column and rating.kind == "ordinal":
        answers = columns.ids(batch.column(source.rating_column)).dictionary_encode()
        known = {answer.encode(): value for answer, value in rating.ordinal.items()}
        of_answer = np.array([known.get(answer, np.nan) for answer in answers.dictionary.to_pylist()] + [np.nan])
        values = of_answer[answers.indices.fill_null(-1).to_numpy()]
        return _Amounts(np.nan_to_num(values), ~np.isnan(values), "answer_without_rating")
    if source.rating_column:
        return _Amounts(*columns.floats(batch.column(source.rating_column)), "rating_invalid")
    if source.duration_column:
        values, sound = columns.floats(batch.column(source.duration_column))
        return _Amounts(values, sound & (values >= 0), "duration_invalid")
    return _Amounts(np.ones(batch.num_rows), np.ones(batch.num_rows, bool), "")
