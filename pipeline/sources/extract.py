"""The account of a file's records, which all sources keep while they turn records into columns."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times

# All sources count records; parts of records, such as the hits of a session, are counted apart.
RECORDS = "records"
SEEN_EVENT, SEEN_PARAMETER = "seen.event.", "seen.parameter."  # numbers by name
SEEN_SIGNAL = "seen.signal."  # numbers of ids found, by the signal's number
NO_SIGNAL = "no_signal"  # why an event is skipped that no signal names
TIME_UNIT = "seen.time_unit."  # numbers by the unit in which they would be times from 1990 to 2099


@dataclass
class Extract:
    """The rows of some records.

    table: the source's columns. rejects: rejected rows, as JSON lines. counts: by dotted name, e.g.
    `records.read`, `records.skipped.no_visitor_id`, `hits.rejected.content_id_newline`, `seen.date.20240101`.
    attributes: of the items, from pipeline.sources.items.attributes.collect; None if the source has none.
    visitors: the same of the visitors. records: the number of each row's record, int64[n]; None if the source has none.
    """

    table: pa.RecordBatch
    rejects: list[bytes]
    counts: Counter[str]
    attributes: pa.RecordBatch | None = None
    visitors: pa.RecordBatch | None = None
    records: np.ndarray | None = None


@dataclass
class Ledger:
    """The account of one batch."""

    path: str
    numbers: np.ndarray
    rejects: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def reject(self, unit: str, reason: str, number: int, **row: Any) -> None:
        """Reject one row with its reason, its file and the number of its record."""
        self.counts[f"{unit}.rejected.{reason}"] += 1
        line = {"reason": reason, "unit": unit, "file": self.path, "record": number}
        line.update({name: _readable(value) for name, value in row.items() if value is not None})
        self.rejects.append(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace"))

    def reject_where(self, unit: str, reasons: np.ndarray, numbers: np.ndarray, **table: pa.Array | None) -> np.ndarray:
        """Reject the rows that have a reason, object[n], None where the row is sound; return bool[n]: sound."""
        sound = reasons == None  # noqa: E711 - elementwise
        for place in np.flatnonzero(~sound).tolist():
            row = {name: column[place].as_py() for name, column in table.items() if column is not None}
            self.reject(unit, reasons[place], int(numbers[place]), **row)
        return sound

    def found_ids(self, signals: np.ndarray) -> None:
        """Count ids by the signal that found them, int64[n], its place in source.all_signals."""
        for place, count in enumerate(np.bincount(signals).tolist(), 1):
            self.counts[f"{SEEN_SIGNAL}{place}"] += count

    def count_units(self, units: Counter[str]) -> None:
        """Count the units in which numbers would be times of today (`times.units`)."""
        self.counts.update({f"{TIME_UNIT}{name}": count for name, count in units.items() if count})

    def skip(self, unit: str, reason: str, count: int) -> None:
        """Count rows that are sound but not needed."""
        if count:
            self.counts[f"{unit}.skipped.{reason}"] += int(count)


def open_ledger(raw: RawBatch, path: str) -> Ledger:
    """Start the account of a batch with the records that could not be read at all."""
    ledger = Ledger(path, raw.numbers)
    ledger.counts[f"{RECORDS}.read"] = len(raw.numbers) + len(raw.malformed)
    for number, complaint in raw.malformed:
        ledger.reject(RECORDS, "malformed", number, complaint=complaint)
    return ledger


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of a batch; nulls where the file has no such field."""
    place = batch.schema.get_field_index(name)
    return batch.column(place) if place >= 0 else pa.nulls(batch.num_rows)


def times_of_records(batch: pa.RecordBatch, name: str, unit: str, ledger: Ledger) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of a column of an export as `times.since_1970` does; count their units."""
    written = column(batch, name)
    values, sound = times.since_1970(written, unit)
    ledger.count_units(times.units_where(written, sound, unit))
    return values, sound


def within_window(dates: pa.DictionaryArray, source: SourceSettings, ledger: Ledger, numbers: np.ndarray) -> np.ndarray:
    """Return bool[n]: the records dated within the window; count the others, and the days.

    dates: YYYYMMDD, null where a record has no valid date: if there is a window, it is rejected.
    """
    names = dates.dictionary
    codes = dates.indices.fill_null(len(names)).to_numpy()
    of_day = np.ones(len(names) + 1, bool)  # and without a day
    if source.start_date:
        of_day[:-1] &= pc.greater_equal(names, _compact(source.start_date)).to_numpy(zero_copy_only=False)
    if source.end_date:
        of_day[:-1] &= pc.less_equal(names, _compact(source.end_date)).to_numpy(zero_copy_only=False)
    for day, count in zip(names.to_pylist(), np.bincount(codes, minlength=len(of_day)).tolist(), strict=False):
        if count:
            ledger.counts[f"seen.date.{day}"] += count
    inside = of_day[codes]
    ledger.skip(RECORDS, "outside_window", len(inside) - inside.sum())
    if source.start_date or source.end_date:
        inside &= ledger.reject_where(RECORDS, reasons_where(codes == len(names), "date_invalid"), numbers)
    return inside


def reasons_where(mask: np.ndarray, reason: str) -> np.ndarray:
    """Return object[n]: the reason where the mask is true, else None."""
    reasons = np.full(len(mask), None, object)
    reasons[mask] = reason
    return reasons


def known_ids(ids: pa.Array, source: SourceSettings) -> pa.Array:
    """Return ids, of type binary or pipeline.interactions.columns.ID, null where the value stands for a missing id."""
    names = pa.array([name.encode() for name in source.names_of_no_id], pa.binary())
    if not pa.types.is_dictionary(ids.type):
        return pc.if_else(pc.is_in(ids, value_set=names), pa.scalar(None, pa.binary()), ids)
    is_missing = pc.or_(pc.is_in(ids.dictionary, value_set=names), ids.dictionary.is_null())
    if not pc.any(is_missing).as_py():
        return ids
    codes = ids.indices.fill_null(len(is_missing)).to_numpy()
    missing = np.append(is_missing.to_numpy(zero_copy_only=False), True)[codes]
    return pa.DictionaryArray.from_arrays(
        pa.array(np.where(missing, 0, codes), pa.int32(), mask=missing), ids.dictionary
    )


def faults(kind: str, ids: pa.Array) -> np.ndarray:
    """Return reasons such as `content_id_newline`, object[n]; None where the id is sound or null."""
    coded = columns.coded_ids(ids)
    of_id = columns.faults_of_ids(coded.dictionary)
    faulty = np.flatnonzero(of_id != None)  # noqa: E711 - elementwise
    if not len(faulty):
        return np.full(len(coded), None, object)
    for place in faulty:
        of_id[place] = f"{kind}_{of_id[place]}"
    return np.append(of_id, np.array([None]))[coded.indices.fill_null(len(of_id)).to_numpy()]


def _compact(date: datetime.date) -> str:
    return date.strftime("%Y%m%d")


def _readable(value: Any) -> Any:
    """Return an id as text; bytes that are not UTF-8 as backslash escapes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
