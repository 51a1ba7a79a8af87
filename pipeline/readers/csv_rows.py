"""CSV -> Arrow: the named columns as bytes; each odd row is lost alone.

Arrow parses blocks of whole records. A quote that is opened and not closed would swallow the rows up to the next quote;
lines with an odd number of quotes are therefore checked before.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.readers.line_blocks import count_lines, is_utf8, whole_lines
from pipeline.readers.records import RawBatch

_QUOTE, _LINE_END = b'"\n'
_MAX_HEADER_LINES = 100
_BLANK = re.compile(rb"^\r?\n", re.MULTILINE)
csv.field_size_limit(1 << 28)
_UNCLOSED = "a quote is opened and not closed"


class Record(NamedTuple):
    """Consecutive records: whole lines, or one record of several lines; data is None for a record that is malformed."""

    data: bytes | None
    records: int


def fields(record: bytes, strict: bool = False) -> list[bytes]:
    """Return the fields of one record.

    Raises:
        csv.Error: there is more than one record; or, if strict, a quoted field is not closed or text follows it.
    """
    rows = list(csv.reader([record.decode("latin-1")], strict=strict))
    if len(rows) != 1:
        raise csv.Error("a line end within the row")
    return [field.encode("latin-1") for field in rows[0]]


def first_record(block: bytes) -> tuple[bytes, bytes]:
    """Split off the first record, the header; lines before it that are blank are dropped."""
    while block[:1] in (b"\r", b"\n"):
        block = block[1:]
    end = shortest = (block.find(b"\n") + 1) or len(block)
    for _ in range(_MAX_HEADER_LINES):
        if _is_row(block[:end]):
            return block[:end], block[end:]
        end = (block.find(b"\n", end) + 1) or len(block)
    return block[:shortest], block[shortest:]


def records(block: bytes, columns: int, max_bytes: int, is_last: bool) -> tuple[list[Record], bytes]:
    """Split a block of whole lines into records; return what may continue in the next block as well.

    A line with an odd number of quotes begins a record of several lines if a later line ends it, so that all together
    are one row. It is malformed if the quote is never closed, or if the lines between are rows by themselves.

    Args:
        columns: of a row.
        max_bytes: of a record of several lines.
        is_last: nothing follows the block.
    """
    data = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    ends = np.flatnonzero(data == _LINE_END) + 1
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    odd = np.flatnonzero(np.diff(np.searchsorted(quotes, ends), prepend=0) % 2)
    starts = np.append(0, ends)
    has_blank = bool((np.diff(starts) <= len(b"\r\n")).any())
    if not len(odd) and not has_blank:
        return [Record(block, len(ends))] if block else [], b""
    parts: list[Record] = []
    done = 0  # lines
    for index, line in enumerate(map(int, odd)):
        if line < done or _is_row(block[starts[line] : starts[line + 1]]):
            continue
        _add_lines(parts, block[starts[done] : starts[line]])
        last = int(odd[index + 1]) if index + 1 < len(odd) else None
        if last is None and not is_last and len(block) - starts[line] <= max_bytes:
            return parts, block[starts[line] :]
        if last is not None and _is_record(block, starts[line : last + 2], columns, max_bytes):
            parts.append(Record(block[starts[line] : starts[last + 1]], 1))
            done = last + 1
        else:
            parts.append(Record(None, 1))
            done = line + 1
    _add_lines(parts, block[starts[done] :])
    return parts, b""


def _add_lines(parts: list[Record], data: bytes) -> None:
    """Add whole lines that are a record each; blank lines are none."""
    data = _BLANK.sub(b"", data)
    if data:
        parts.append(Record(data, count_lines(data)))


def _is_record(block: bytes, bounds: np.ndarray, columns: int, max_bytes: int) -> bool:
    """Return whether lines with these bounds are one record, rather than rows that a stray quote swallows."""
    if bounds[-1] - bounds[0] > max_bytes:
        return False
    try:
        row = fields(block[bounds[0] : bounds[-1]], strict=True)
    except csv.Error:
        return False
    between = [block[start:end] for start, end in zip(bounds[1:-2], bounds[2:-1], strict=True)]
    return len(row) == columns and not (between and all(_is_row(line, columns) for line in between))


def _is_row(line: bytes, columns: int | None = None) -> bool:
    """Return whether a line is a row by itself."""
    try:
        row = fields(line, strict=True)
    except csv.Error:
        return False
    return columns is None or len(row) == columns


class _Parsed(NamedTuple):
    columns: pa.RecordBatch
    positions: np.ndarray  # int64[rows]: of each row among the records
    malformed: list[tuple[int, str]]


class CsvReader:
    """Reads the named columns of a CSV file with a header; blank lines are not rows."""

    def __init__(self, names: list[str], *, block_bytes: int = 1 << 23, max_record_bytes: int = 1 << 20):
        """Read columns.

        Args:
            max_record_bytes: a quote that is not closed within as many bytes, if its record spans lines, is an error.
        """
        self._names, self._block_bytes, self._max_record_bytes = names, block_bytes, max_record_bytes

    def read(self, file: BinaryIO) -> Iterator[RawBatch]:
        """Yield the rows of a file; nothing where it is blank.

        Raises:
            FormatError: the file is UTF-16.
            MissingColumnError: the header lacks one of the columns.
            ValueError: a line is longer than any row can be.
        """
        number, header, rest = 1, list[str](), b""
        blocks = whole_lines(file, self._block_bytes, 1 << 28)
        block = next(blocks, None)
        while block is not None:
            following = next(blocks, None)
            if not header:
                first, block = first_record(block)
                header = self._check(first) if first else header
            parts, rest = records(
                rest + block if rest else block, len(header), self._max_record_bytes, is_last=following is None
            )
            if header:
                parsed = self._parse(parts, header)
                complaints = [(number + position, complaint) for position, complaint in parsed.malformed]
                yield RawBatch(parsed.columns, parsed.positions + number, complaints)
                number += sum(part.records for part in parts)
            block = following

    def _check(self, first: bytes) -> list[str]:
        """Return the names of the columns, which must have those to read."""
        names = [name.decode("utf-8", "replace") for name in fields(first)]
        for name in self._names:
            if name not in names:
                raise MissingColumnError(name, names)
        return names

    def _parse(self, parts: list[Record], header: list[str]) -> _Parsed:
        """Parse records in order; parts without data are malformed."""
        whole = [part for part in parts if part.data is not None]
        expected = sum(part.records for part in whole)
        data = [_ended(part.data) for part in whole if part.data]
        parsed = self._by_arrow(data[0] if len(data) == 1 else b"".join(data), header, expected)
        if parsed is None:
            parsed = self._by_record(whole, header)
        if len(whole) == len(parts):
            return parsed
        ordinals, unclosed, position = [], [], 0
        for part in parts:
            if part.data is None:
                unclosed.append((position, _UNCLOSED))
            else:
                ordinals.append(np.arange(position, position + part.records))
            position += part.records
        of_record = np.concatenate([*ordinals, np.zeros(0, np.int64)])
        malformed = [(int(of_record[position]), complaint) for position, complaint in parsed.malformed]
        return _Parsed(parsed.columns, of_record[parsed.positions], sorted(malformed + unclosed))

    def _by_arrow(self, data: bytes, header: list[str], expected: int) -> _Parsed | None:
        """Return the rows by Arrow's parser; None where it does not take each record as one row."""
        malformed: list[tuple[int, str]] = []

        def set_aside(row: pyarrow.csv.InvalidRow) -> str:
            malformed.append(((row.number or 1) - 1, _complaint(row.actual_columns, len(header))))
            return "skip"

        if not data:
            return _Parsed(self._empty(), np.zeros(0, np.int64), [])
        if not is_utf8(data):  # Arrow would decode the rows that it sets aside
            return None
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(data),
                read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=header),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
                convert_options=pyarrow.csv.ConvertOptions(
                    check_utf8=False,
                    column_types={name: pa.binary() for name in self._names},
                    include_columns=self._names,
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows + len(malformed) != expected:
            return None
        positions = np.delete(np.arange(expected), [position for position, _ in malformed])
        batches = table.combine_chunks().to_batches()
        return _Parsed(batches[0] if batches else self._empty(), positions, malformed)

    def _by_record(self, parts: list[Record], header: list[str]) -> _Parsed:
        """Return the rows by Python's parser, which any bytes leave to the next record."""
        rows, positions, malformed, position = [], [], [], 0
        indices = [header.index(name) for name in self._names]
        for part in parts:
            lines = [part.data] if part.records == 1 else (part.data or b"").removesuffix(b"\n").split(b"\n")
            for line in lines:
                try:
                    row = fields(line or b"")
                    complaint = None if len(row) == len(header) else _complaint(len(row), len(header))
                except csv.Error as error:
                    row, complaint = [], str(error)
                if complaint:
                    malformed.append((position, complaint))
                else:
                    rows.append([row[index] for index in indices])
                    positions.append(position)
                position += 1
        columns = [pa.array(column, pa.binary()) for column in zip(*rows, strict=True)]
        batch = pa.RecordBatch.from_arrays(columns, self._names) if rows else self._empty()
        return _Parsed(batch, np.array(positions, np.int64), malformed)

    def _empty(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array([], pa.binary()) for _ in self._names], self._names)


class MissingColumnError(ValueError):
    """A file has no such column."""

    def __init__(self, name: str, names: list[str]):
        super().__init__(name)
        self.name, self.names = name, names


def _complaint(actual: int, expected: int) -> str:
    return f"{actual} columns where {expected} are due"


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"
