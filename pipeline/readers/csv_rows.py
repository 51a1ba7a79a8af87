"""CSV -> Arrow: the named columns as bytes; each odd row is lost alone.

What the settings leave open of a file's dialect is found by its first line, which must name the columns. Arrow parses
blocks of whole records.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv

from configs.settings import CsvSettings
from pipeline.readers.csv_records import Dialect, Record, fields, first_record, records
from pipeline.readers.opening import BOM, UTF_16, is_utf8, whole_lines
from pipeline.readers.records import MissingColumnError, Parsed, RawBatch

_UNCLOSED = "a quote is opened and not closed"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}  # of delimiters to try, the first first
_EXCEL = re.compile(rb"sep=([^\r\n])\r?\n", re.IGNORECASE)  # a line by which Excel tells the delimiter
_ADVICE = (
    "the first line must be a header, whose columns source.visitor_column and so on name; or set source.csv (header: "
    "false calls the columns column1, column2, ...)"
)
_ADVICE_OF_NUL = "it has NUL characters, as UTF-{0} without a byte order mark has: set source.csv.encoding: utf-{0}-{1}"


class _Layout(NamedTuple):
    """The layout of a file: its dialect and the names of its columns."""

    dialect: Dialect
    header: list[str]


class CsvReader:
    """Reads the named columns of a CSV file; blank lines are not rows."""

    def __init__(
        self,
        names: list[str],
        settings: CsvSettings | None = None,
        *,
        block_bytes: int = 1 << 23,
        max_record_bytes: int = 1 << 20,
    ):
        """Read columns; a quote of several lines that is not closed within `max_record_bytes` is an error."""
        self._names, self._settings = names, settings or CsvSettings()
        self._block_bytes, self._max_record_bytes = block_bytes, max_record_bytes

    def read(self, file: BinaryIO) -> Iterator[RawBatch]:
        """Yield the rows of a file; nothing where it is blank. The first batch has the file's dialect.

        Raise MissingColumnError if the header lacks a column, ValueError if a line is longer than any row can be.
        """
        number, layout, rest, encoding = 1, None, b"", self._encoding(file)
        text = cast(BinaryIO, _Recoded(file, encoding)) if encoding else file
        blocks = whole_lines(text, self._block_bytes, 1 << 28)
        block = next(blocks, None)
        while block is not None:
            following, is_first = next(blocks, None), layout is None
            if layout is None:
                layout, block = self._layout(block)
            if layout is not None:
                columns, is_last = len(layout.header), following is None
                parts, rest = records(rest + block, layout.dialect, columns, self._max_record_bytes, is_last)
                parsed = self._parse(parts, layout)
                complaints = [(number + position, complaint) for position, complaint in parsed.malformed]
                said = self._describe(layout.dialect, encoding) if is_first else None
                yield RawBatch(parsed.columns, parsed.positions + number, complaints, said)
                number += sum(part.records for part in parts)
            block = following

    def _encoding(self, file: BinaryIO) -> str | None:
        """Return the encoding of a file at its start, None for UTF-8."""
        if self._settings.encoding:
            name = codecs.lookup(self._settings.encoding).name
            return None if name in ("utf-8", "utf-8-sig", "ascii") else name
        start = file.read(2)
        file.seek(0)
        return "utf-16" if start in UTF_16 else None

    def _layout(self, block: bytes) -> tuple[_Layout | None, bytes]:
        """Return the layout by the first record of a file, None where the block is blank, and the rows of the block.

        Raise MissingColumnError if the columns are in it by no dialect, ValueError if one of them is in it twice.
        """
        settings, layouts = self._settings, []
        told = _EXCEL.match(block)
        block = block[told.end() :] if told else block
        delimiter = settings.delimiter or (told[1].decode("latin-1") if told else None)
        delimiters = [delimiter] if delimiter else list(_NAMES)
        quotes = ['"', "'"] if settings.quote is None else [settings.quote]
        for quote, delimiter in itertools.product(quotes, delimiters):
            dialect = Dialect(delimiter, quote, settings.escape or "")
            first, rows = first_record(block, dialect)
            if not first:
                return None, b""
            header = [name.decode("utf-8", "replace") for name in fields(first, dialect)]
            if not settings.header:
                header, rows = [f"column{number + 1}" for number in range(len(header))], block
            if set(self._names) <= set(header):
                if twice := [name for name in self._names if header.count(name) > 1]:
                    raise ValueError(f"its header has the column {twice[0]} twice")
                return _Layout(dialect, header), rows
            layouts.append(header)
        header = max(layouts, key=len)
        advice = _advice_of_nul(block) if any("\0" in name for name in header) else _ADVICE
        raise MissingColumnError(next(name for name in self._names if name not in header), header, advice)

    def _describe(self, dialect: Dialect, encoding: str | None) -> str:
        parts = [_NAMES.get(dialect.delimiter, dialect.delimiter), encoding or "utf-8"]
        parts += [] if dialect.quote == '"' else [f"quote {dialect.quote}" if dialect.quote else "no quotes"]
        parts += [f"escape {dialect.escape}"] if dialect.escape else []
        return ", ".join([*parts, "header" if self._settings.header else "no header"])

    def _parse(self, parts: list[Record], layout: _Layout) -> Parsed:
        """Parse records in order; parts without data are malformed."""
        whole = [part for part in parts if part.data is not None]
        expected = sum(part.records for part in whole)
        data = [part.data if part.data.endswith(b"\n") else part.data + b"\n" for part in whole if part.data]
        parsed = self._by_arrow(data[0] if len(data) == 1 else b"".join(data), layout, expected)
        if parsed is None:
            parsed = self._by_record(whole, layout)
        if len(whole) == len(parts):
            return parsed
        has_data = np.repeat([part.data is not None for part in parts], [part.records for part in parts])
        of_record, without = np.flatnonzero(has_data), np.flatnonzero(~has_data)
        unclosed = [(position, _UNCLOSED) for position in without.tolist()]
        malformed = [(int(of_record[position]), complaint) for position, complaint in parsed.malformed]
        return Parsed(parsed.columns, of_record[parsed.positions], sorted(malformed + unclosed))

    def _by_arrow(self, data: bytes, layout: _Layout, expected: int) -> Parsed | None:
        """Return the rows by Arrow's parser; None where it does not take each record as one row."""
        malformed: list[tuple[int, str]] = []
        dialect, header = layout

        def set_aside(row: pyarrow.csv.InvalidRow) -> str:
            malformed.append(((row.number or 1) - 1, _complaint(row.actual_columns, len(header))))
            return "skip"

        if not data:
            return Parsed(self._empty(), np.zeros(0, np.int64), [])
        # Arrow would decode the rows that it sets aside, and drop a byte order mark before the first id.
        if not is_utf8(data) or data.startswith(BOM):
            return None
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(data),
                read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=header),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote or False,
                    double_quote=not dialect.escape,
                    escape_char=dialect.escape or False,
                    newlines_in_values=True,
                    invalid_row_handler=set_aside,
                ),
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
        return Parsed(batches[0] if batches else self._empty(), positions, malformed)

    def _by_record(self, parts: list[Record], layout: _Layout) -> Parsed:
        """Return the rows by Python's parser, which any bytes leave to the next record."""
        rows, positions, malformed, position = [], [], [], 0
        dialect, header = layout
        indices = [header.index(name) for name in self._names]
        for part in parts:
            lines = [part.data] if part.records == 1 else (part.data or b"").removesuffix(b"\n").split(b"\n")
            for line in lines:
                try:
                    row = fields(line or b"", dialect)
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
        return Parsed(batch, np.array(positions, np.int64), malformed)

    def _empty(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array([], pa.binary()) for _ in self._names], self._names)


class _Recoded:
    """A file of another encoding as UTF-8; what is not of that encoding becomes bytes that are not UTF-8 either."""

    def __init__(self, file: BinaryIO, encoding: str):
        self._file = file
        self._errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)

    def read(self, size: int) -> bytes:
        """Read bytes; none only at the end of the file."""
        while data := self._file.read(size):
            if text := self._decoder.decode(data):
                return text.encode("utf-8", self._errors)
        return self._decoder.decode(b"", final=True).encode("utf-8", self._errors)


def _advice_of_nul(block: bytes) -> str:
    """Return what to do with text whose characters have two or four bytes, most of them 0."""
    order = "be" if block.startswith(b"\0") else "le"
    return _ADVICE_OF_NUL.format(32 if b"\0\0\0" in block[:100] else 16, order)


def _complaint(actual: int, expected: int) -> str:
    return f"{actual} columns where {expected} are due"
