"""CSV -> Arrow: the named columns as bytes; rows of a wrong length are set aside."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.readers.records import RawBatch


def header(file: BinaryIO) -> list[str]:
    """Return the names of the columns; the file is at its start before and after."""
    names = pyarrow.csv.open_csv(io.BytesIO(file.readline() or b"\n")).schema.names
    file.seek(0)
    return names


def batches(file: BinaryIO, names: list[str], block_bytes: int = 1 << 23) -> Iterator[RawBatch]:
    """Yield the rows of a file with a header."""
    malformed: dict[int, str] = {}

    def set_aside(row: pyarrow.csv.InvalidRow) -> str:
        # Arrow counts the header as the first row.
        malformed[(row.number or 1) - 1] = f"{row.actual_columns} columns where {row.expected_columns} are due"
        return "skip"

    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=block_bytes),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
        convert_options=pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types={name: pa.binary() for name in names},
            include_columns=names,
            strings_can_be_null=False,
        ),
    )
    number = 1
    for batch in reader:
        rows = itertools.islice((n for n in itertools.count(number) if n not in malformed), batch.num_rows)
        numbers = np.fromiter(rows, np.int64, batch.num_rows)
        number = int(numbers[-1]) + 1 if len(numbers) else number
        passed = [(row, malformed.pop(row)) for row in sorted(malformed) if row < number]
        yield RawBatch(batch, numbers, passed)
    if malformed:
        yield RawBatch(pa.RecordBatch.from_pylist([], reader.schema), np.zeros(0, np.int64), sorted(malformed.items()))
