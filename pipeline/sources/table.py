"""A table of visitors and items with a dwell, a rating or neither -> interactions, one per row."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import DAY_MS
from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions import sessions
from pipeline.interactions.sessions import INTERACTIONS
from pipeline.readers.files import TableReader
from pipeline.readers.records import RawBatch
from pipeline.sources import columns
from pipeline.sources.extract import RECORDS, Extract, faults, open_ledger, within_window
from pipeline.sources.source import Read, Source


class Table(Source):
    """A table in files or in BigQuery."""

    def __init__(
        self, settings: SourceSettings, rating: RatingSettings, read: Read | None = None, label: str | None = None
    ):
        super().__init__(settings, read or TableReader(column_names(settings)).read, label)
        self._rating = rating

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        return extract(raw, path, self.settings, self._rating)

    def combine(self, interactions: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per pair: the last rating, or the summed dwell."""
        if self.settings.rating_column:
            return sessions.last_of_pairs(interactions), Counter()
        return super().combine(interactions)


def column_names(source: SourceSettings) -> list[str]:
    """Return the columns of the table that the settings name.

    Raises:
        UserError: there is a window but no column with the time.
    """
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
    times, has_time = np.zeros(batch.num_rows, np.int64), np.ones(batch.num_rows, bool)
    if source.time_column:
        times, has_time = columns.within_time(*_milliseconds(batch.column(source.time_column)), per_second=1000)
        inside = within_window(_days(times), source, ledger)
        batch, numbers, times, has_time = (
            batch.filter(pa.array(inside)),
            numbers[inside],
            times[inside],
            has_time[inside],
        )

    visitors = columns.coded_ids(batch.column(source.visitor_column))
    items = columns.coded_ids(batch.column(source.item_column))
    amounts, has_amount, fault = _amounts(batch, source, rating)
    reasons = faults("content_id", items)
    visitor_faults = faults("visitor_id", visitors)
    reasons[visitor_faults != None] = visitor_faults[visitor_faults != None]  # noqa: E711 - elementwise
    reasons[items.is_null().to_numpy(zero_copy_only=False)] = "content_id_missing"
    reasons[visitors.is_null().to_numpy(zero_copy_only=False)] = "visitor_id_missing"
    reasons[~has_amount] = fault
    reasons[~has_time] = "time_invalid"
    sound = ledger.reject_where(RECORDS, reasons, numbers, visitorId=visitors, contentId=items)
    table = pa.RecordBatch.from_arrays([visitors, items, pa.array(amounts), pa.array(times)], schema=INTERACTIONS)
    return Extract(table.filter(pa.array(sound)), ledger.rejects, ledger.counts)


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


def _days(times: np.ndarray) -> pa.DictionaryArray:
    """Return the day of each time in UTC, YYYYMMDD; each day is formatted once, not once per row."""
    coded = pa.array(times - times % DAY_MS, pa.timestamp("ms")).dictionary_encode()
    days = pc.strftime(coded.dictionary, format="%Y%m%d")
    return pa.DictionaryArray.from_arrays(coded.indices, days)


def _milliseconds(times: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return times in ms since 1970, from timestamps, integers in ms, or ISO 8601 text."""
    if pa.types.is_binary(times.type) or pa.types.is_string(times.type):
        values, sound = columns.integers(times)
        if not sound.all():
            times = pa.array([_parsed(text) for text in columns.ids(times).to_pylist()], pa.timestamp("ms", "UTC"))
        else:
            return values, sound
    if pa.types.is_timestamp(times.type) or pa.types.is_date(times.type):
        stamps = times.cast(pa.timestamp("ms"), safe=False)
        return stamps.cast(pa.int64()).fill_null(0).to_numpy(), stamps.is_valid().to_numpy(zero_copy_only=False)
    return columns.integers(times)


def _parsed(text: bytes | None) -> datetime.datetime | None:
    """Return an ISO 8601 time; it is in UTC where it names no zone."""
    try:
        time = datetime.datetime.fromisoformat((text or b"").decode())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
