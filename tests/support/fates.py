"""The fate of each record of a file, and whether the account adds up: for the fuzz tests."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from hypothesis import HealthCheck, settings

from artifacts.names import AGAIN, AMOUNT, CONTENT_ID, TIME_MS
from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.sources.items import attributes
from pipeline.sources.select import source_of
from pipeline.sources.source import Source
from tests.support.lines_by_hand import MARK, is_blank

EXAMPLES = int(os.environ.get("WALS_FUZZ_EXAMPLES", "40"))
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Read(NamedTuple):
    """The rows, attributes, rejects and account of a file."""

    tables: list[pa.RecordBatch]
    attributes: dict[tuple[str, str, str], tuple[int, int]]  # (item, name, value) -> rows, last time
    rejects: list[bytes]
    counts: Counter[str]
    source: Source  # makes interactions of the tables

    @property
    def rows(self) -> list[tuple]:
        return rows_of(self.tables)


def read_file(data: bytes, settings: SourceSettings) -> Read:
    """Read a file of these bytes."""
    source = source_of(settings, RatingSettings())
    read = Read([], {}, [], Counter(), source)
    described = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        for raw in source.read(str(path)):
            extract = source.extract(raw, "file")
            read.tables.append(extract.table)
            read.rejects.extend(extract.rejects)
            read.counts.update(extract.counts)
            described += [extract.attributes] if extract.attributes else []
    values = attributes.add_up(pa.Table.from_batches(described, attributes.VALUES))
    for item, name, value, rows, last in rows_of([values]):
        read.attributes[item.decode(), name.decode(), value.decode("utf-8", "surrogateescape")] = rows, last
    return read


def total(counts: Counter, start: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(start))


def rows_of(tables) -> list[tuple]:
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def check(data: bytes, records: int | None, settings: SourceSettings) -> Read:
    """Assert that the account of a file adds up, and that the rows kept become interactions."""
    read = read_file(data, settings)
    counts = read.counts
    records = counts["records.read"] if records is None else records
    assert counts["records.read"] == records
    assert len(read.rejects) == sum(total(counts, f"{unit}.rejected.") for unit in ("records", "hits", "items"))
    for reject in map(json.loads, read.rejects):
        assert reject["reason"] and reject["file"] == "file" and reject["record"] >= 1
    if settings.kind == "ga360":
        items = [item for table in read.tables for item in table.column(CONTENT_ID).to_pylist()]
        seen = total(counts, "items.rejected.") + total(counts, "items.skipped.")
        assert counts["items.read"] == seen + len(items) - items.count(None)
        matched = counts["hits.read"] - total(counts, "hits.rejected.") - total(counts, "hits.skipped.")
        assert counts["items.read"] >= matched
    else:
        check_rows(read, settings)
    for name in (cell for row in read.rows for cell in row if isinstance(cell, bytes)):
        assert name and b"\n" not in name and b"\r" not in name and name.decode()
    if read.rows:
        views, _ = read.source.interactions(from_bytes(to_bytes(table) for table in read.tables))
        pairs, dropped = read.source.combine(views)
        kept = {row[:2] for row in rows_of([views])}
        assert pairs.num_rows + total(dropped, "pairs.skipped.") == len(kept)
        assert all(abs(amount) < 2**63 for amount in pairs[AMOUNT].to_pylist())
        assert all(abs(time) < 2**62 for time in pairs[TIME_MS].to_pylist())
        assert (AGAIN in pairs.schema.names) == settings.recommends_again
    items = {row[read.tables[0].schema.get_field_index(CONTENT_ID)] for row in read.rows}
    assert {item.encode() for item, _, _ in read.attributes} <= items
    return read


def check_rows(read: Read, settings: SourceSettings) -> None:
    """Assert that records of a table or of GA4 are rejected, skipped, or have rows: one each, or one per item."""
    counts = read.counts
    used = counts["records.read"] - total(counts, "records.rejected.") - total(counts, "records.skipped.")
    fields = Counter(signal.item.startswith("items.") for signal in settings.all_signals if settings.kind == "ga4")
    lines = counts["items.read"] - total(counts, "items.rejected.") - total(counts, "items.skipped.")
    most = lines + used * max(fields[False], settings.kind == "table")  # before the rows of an item are summed
    assert used <= len(read.rows) <= most and (lines == 0 or fields[True])


def check_or_refuse(data: bytes, records: int | None, source: SourceSettings) -> None:
    """Assert the same as `check`, or that the file is refused as a whole, by one line that names it."""
    said = "file"
    try:
        check(data, records, source)
    except UserError as error:
        said = str(error)
    assert "file" in said and "\n" not in said


def values_of(read: Read) -> Counter[tuple[str, str, str]]:
    return Counter({value: rows for value, (rows, _) in read.attributes.items()})


FIRST = b'{"date": "20240101", "event_date": "20240101"}'  # so that the file is taken for JSON


def begins(line: bytes) -> bool:
    """Return whether a line can be the first of an export; with NUL bytes, alone it would be UTF-16."""
    return line.removeprefix(MARK).lstrip().startswith(b"{") and b"\0" not in line


def fates(lines: list[bytes], settings: SourceSettings) -> Read:
    """Compare a file of lines with each line alone."""
    alone: list[Read] = []
    for line in filter(begins, lines):  # others, alone, would not be an export
        read = check(line + b"\n", 1, settings)
        used = any(item for table in read.tables for item in table.column(CONTENT_ID).to_pylist())
        counts = read.counts
        assert total(counts, "records.rejected.") + total(counts, "records.skipped.") + used == 1
        alone.append(read)
    data = b"".join(line + b"\n" for line in (FIRST, *lines))
    read = check(data, 1 + sum(not is_blank(line) for line in lines), settings)
    # The rows of one field of items are together, whatever their sessions.
    assert Counter(read.rows) == Counter(row for other in alone for row in other.rows)
    assert values_of(read) == sum(map(values_of, alone), Counter())
    odd = sum(not is_blank(line) and not begins(line) for line in lines)
    assert total(read.counts, "records.rejected.") == (settings.kind == "ga360") + odd + sum(
        total(other.counts, "records.rejected.") for other in alone
    )
    return read
