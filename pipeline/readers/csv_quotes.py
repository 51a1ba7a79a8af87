"""Records of a CSV file: lines, but for quoted fields with line ends in them and for quotes that nobody closes."""

from __future__ import annotations

import csv
import re
from typing import NamedTuple

import numpy as np

from pipeline.readers.line_blocks import count_lines

_QUOTE, _LINE_END = b'"\n'
_MAX_HEADER_LINES = 100
_BLANK = re.compile(rb"^\r?\n", re.MULTILINE)
csv.field_size_limit(1 << 28)


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
