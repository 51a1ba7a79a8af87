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
from pipeline.sources import columns

# All sources count records; parts of records, such as the hits of a session, are counted apart.
RECORDS = "records"


@dataclass
class Extract:
    """The rows of some records.

    table: the source's columns. rejects: rejected rows, as JSON lines. counts: by dotted name, e.g.
    `records.read`, `records.skipped.no_visitor_id`, `hits.rejected.content_id_newline`, `seen.date.20240101`.
    """

    table: pa.RecordBatch
    rejects: list[bytes]
    counts: Counter[str]


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


def within_window(dates: pa.Array, source: SourceSettings, ledger: Ledger) -> np.ndarray:
    """Return bool[n]: the records dated (YYYYMMDD) within the window; count the others, and the days."""
    coded = columns.coded_ids(dates)
    days = coded.dictionary.cast(pa.string(), safe=False)
    codes = coded.indices.fill_null(len(days)).to_numpy()
    of_day = np.ones(len(days) + 1, bool)  # and of no day
    if source.start_date:
        of_day &= np.append(pc.greater_equal(days, _compact(source.start_date)), False)
    if source.end_date:
        of_day &= np.append(pc.less_equal(days, _compact(source.end_date)), False)
    names = days.cast(pa.binary()).to_pylist()  # an export can have any bytes there
    for day, count in zip(names, np.bincount(codes, minlength=len(of_day)).tolist(), strict=False):
        if count and len(day) == 8 and day.isdigit():
            ledger.counts[f"seen.date.{day.decode()}"] += count
    inside = of_day[codes]
    ledger.skip(RECORDS, "outside_window", len(inside) - inside.sum())
    return inside


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
