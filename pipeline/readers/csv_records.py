"""The records of a block of CSV: an opened quote swallows no row but its own.

A quote that is opened and not closed would swallow the rows up to the next quote; lines with an odd number of quotes
are therefore checked.
"""

from __future__ import annotations

import csv
import re
from typing import Any, NamedTuple

import numpy as np

from pipeline.readers.opening import count_lines

_LINE_END = ord("\n")
_MAX_HEADER_LINES = 100
_BLANK = re.compile(rb"^\r?\n", re.MULTILINE)
csv.field_size_limit(1 << 28)


class Dialect(NamedTuple):
    """The characters between values, around them, and before a quote within them; "" is nothing."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of Python's csv.reader."""
        quoting = csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote or None,
            "escapechar": self.escape or None,
            "doublequote": not self.escape,
            "quoting": quoting,
        }

    def quotes(self, data: np.ndarray) -> np.ndarray:
        """Return the positions of the quotes in uint8 [n] that open or close a value or a half of a doubled quote."""
        if not self.quote:
            return np.zeros(0, np.int64)
        quotes = np.flatnonzero(data == ord(self.quote))
        if not self.escape or not len(quotes):
            return quotes
        others = np.flatnonzero(data != ord(self.escape))  # the last of these before a quote ends the escapes before it
        before = np.searchsorted(others, quotes) - 1
        escapes = quotes - 1 - np.where(before >= 0, others[np.maximum(before, 0)], -1)
        return quotes[escapes % 2 == 0]


class Record(NamedTuple):
    """Consecutive records: whole lines, or one record of several lines; data is None for a record that is malformed."""

    data: bytes | None
    records: int


def fields(record: bytes, dialect: Dialect, strict: bool = False) -> list[bytes]:
    """Return the fields of one record; raise csv.Error if there is more than one, or, if strict, a wrong quote."""
    rows = list(csv.reader([record.decode("latin-1")], strict=strict, **dialect.options))
    if len(rows) != 1:
        raise csv.Error("a line end within the row")
    return [field.encode("latin-1") for field in rows[0]]


def first_record(block: bytes, dialect: Dialect) -> tuple[bytes, bytes]:
    """Split off the first record, the header; lines before it that are blank are dropped."""
    while block[:1] in (b"\r", b"\n"):
        block = block[1:]
    end = shortest = (block.find(b"\n") + 1) or len(block)
    for _ in range(_MAX_HEADER_LINES):
        if _is_row(block[:end], dialect):
            return block[:end], block[end:]
        end = (block.find(b"\n", end) + 1) or len(block)
    return block[:shortest], block[shortest:]


def records(block: bytes, dialect: Dialect, columns: int, max_bytes: int, is_last: bool) -> tuple[list[Record], bytes]:
    """Split a block of whole lines into records; return what may continue in the next block, unless it is the last.

    A line with an odd number of quotes begins a record of several lines, of at most `max_bytes`, if a later line ends
    it, so that all together are one row. It is malformed if the quote is never closed, or if the lines between are rows
    by themselves.
    """
    data = np.frombuffer(block, np.uint8)
    quotes = dialect.quotes(data)
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
        if line < done or _is_row(block[starts[line] : starts[line + 1]], dialect):
            continue
        _add_lines(parts, block[starts[done] : starts[line]])
        last = int(odd[index + 1]) if index + 1 < len(odd) else None
        if last is None and not is_last and len(block) - starts[line] <= max_bytes:
            return parts, block[starts[line] :]
        if last is not None and _is_record(block, dialect, starts[line : last + 2], columns, max_bytes):
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


def _is_record(block: bytes, dialect: Dialect, bounds: np.ndarray, columns: int, max_bytes: int) -> bool:
    """Return whether lines with these bounds are one record, rather than rows that a stray quote swallows."""
    if bounds[-1] - bounds[0] > max_bytes:
        return False
    try:
        row = fields(block[bounds[0] : bounds[-1]], dialect, strict=True)
    except csv.Error:
        return False
    between = [block[start:end] for start, end in zip(bounds[1:-2], bounds[2:-1], strict=True)]
    return len(row) == columns and not (between and all(_is_row(line, dialect, columns) for line in between))


def _is_row(line: bytes, dialect: Dialect, columns: int | None = None) -> bool:
    """Return whether a line is a row by itself."""
    try:
        row = fields(line, dialect, strict=True)
    except csv.Error:
        return False
    return columns is None or len(row) == columns
