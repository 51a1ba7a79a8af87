"""Newline-delimited JSON -> Arrow, by blocks; record by record only where a block contains something odd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipeline.readers import json_arrow, json_lines
from pipeline.readers.opening import count_lines, whole_lines
from pipeline.readers.records import FormatError, Parsed, RawBatch

_OBJECT = re.compile(rb"^[ \t]*\{[^\n]*", re.MULTILINE)
_WIDE = (b"{\0", b"\0{", b"\0\0\0{")  # an object in UTF-16 or UTF-32 without a byte order mark
_WITHOUT_NUL = re.compile(rb"^[ \t]*\{[^\0\n]*$", re.MULTILINE)
_ARRAY = "an array; write one object per line"


class NdjsonReader:
    """Reads lines of JSON objects; blank lines are not records.

    Arrow parses the first bytes. A compiled pass (`pipeline.readers.json_columns`), twice as fast, takes over once the
    reader has read enough to be worth its import and compilation. A block in which either finds something odd is
    parsed line by line. All three return the same records, and each odd line has the same fate in any position.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        block_bytes: int = 1 << 23,
        bytes_before_compiling: float = 1 << 27,
        max_line_bytes: int = 1 << 28,
    ):
        """Read the fields of a schema, whose string leaves also accept integers, which bq extract writes as strings.

        A line above `max_line_bytes` is an error; BigQuery's rows have 100 MB at most.
        """
        self._schema = schema
        self._block_bytes, self._max_line_bytes = block_bytes, max_line_bytes
        self._bytes_before_compiling, self._bytes_read = bytes_before_compiling, 0

    def read(self, file: BinaryIO) -> Iterator[RawBatch]:
        """Yield the records of a file, one batch per block.

        Raise EOFError if the last line ends within its JSON: the file is truncated; FormatError if the file is not
        lines of objects; ValueError if a line is longer than a record of an export can be.
        """
        number, checked = 1, False
        blocks = whole_lines(file, self._block_bytes, self._max_line_bytes)
        for block in blocks:
            if not checked and (checked := not block.isspace()):
                if not _OBJECT.search(block):  # only odd lines so far: the last line, without an end, is a block
                    block += next(blocks, b"")
                _check_format(block)
            records, positions, malformed = self.parse(block)
            lines = count_lines(block)
            if malformed and not block.endswith(b"\n") and json_lines.is_cut(block.rpartition(b"\n")[2]):
                raise EOFError(f"the last record, {number + lines - 1}, ends within its JSON")
            complaints = [(number + position, complaint) for position, complaint in malformed]
            yield RawBatch(records, positions + number, complaints)
            number += lines

    def parse(self, block: bytes) -> Parsed:
        """Parse whole lines."""
        self._bytes_read += len(block)
        batch = None
        if self._bytes_read > self._bytes_before_compiling:
            from pipeline.readers import json_columns  # Numba takes a second to import, and the pass some to compile

            batch = json_columns.parse(block, self._schema)
        if batch is None:
            batch = json_arrow.parse(block, self._schema)
        if batch is not None:
            return Parsed(batch, np.arange(batch.num_rows), [])
        return json_lines.parse(block.removesuffix(b"\n").split(b"\n"), self._schema)


def _check_format(block: bytes) -> None:
    """Raise FormatError if a file that begins with this block is not lines of objects, some of them odd."""
    if block.lstrip().startswith(_WIDE) and not _WITHOUT_NUL.search(block):
        raise FormatError("UTF-16 or UTF-32; write it in UTF-8")
    is_array = block.lstrip().startswith(b"[")
    first_object = _OBJECT.search(block)
    if first_object is None:
        raise FormatError(_ARRAY if is_array and b"{" in block else "")
    if is_array and _loaded(first_object[0]) is None:
        raise FormatError(_ARRAY)


def _loaded(line: bytes) -> object:
    try:
        return json_lines.loads(line)
    except (ValueError, RecursionError):
        return None
