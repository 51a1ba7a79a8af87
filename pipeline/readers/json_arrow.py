"""Lines of JSON objects -> Arrow columns, by Arrow's parser."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.json

_LINE_END, _RETURN, _OPEN, _CLOSE = b"\n\r{}"


def parse(block: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """Return the records of a block, one object per line, with or without a last line end; None to give up.

    Integers are all strings, as bq extract writes them, or all numbers.
    """
    lines = _regular_lines(block)
    for variant in (schema, pa.schema([with_integers(item) for item in schema])) if lines else ():
        try:
            return _parse(block, lines, variant)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            continue
    return None


def _regular_lines(block: bytes) -> int:
    """Return the number of lines, 0 unless each begins and ends with a brace.

    Then a line is one or more objects where the block parses, since no object can continue with a brace behind a
    brace. Arrow crashes where a block begins with `null`.
    """
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _LINE_END)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not len(data) or (data[starts] != _OPEN).any():
        return 0
    lasts = ends - 1
    lasts = lasts - (data[lasts] == _RETURN)
    return 0 if (data[lasts] != _CLOSE).any() else len(ends)


def _parse(block: bytes, lines: int, schema: pa.Schema) -> pa.RecordBatch:
    table = pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != lines:
        raise pa.ArrowInvalid("a line contains more than one record")
    batch = table.combine_chunks().to_batches()[0]
    batch.validate(full=True)  # Arrow's parser accepts ids that are not UTF-8
    return batch


def with_integers(item: pa.Field) -> pa.Field:
    """Return a field of an export whose integers are JSON numbers; only marked fields change."""
    kind = item.type
    if pa.types.is_struct(kind):
        kind = pa.struct([with_integers(child) for child in kind])
    elif pa.types.is_list(kind):
        kind = pa.list_(with_integers(kind.value_field))
    elif is_integer(item):
        kind = pa.int64()
    return item.with_type(kind)


def integer(name: str) -> pa.Field:
    """Return a field that BigQuery types INT64: a string of digits in the JSON of `bq extract`, a number elsewhere."""
    return pa.field(name, pa.string(), metadata={b"integer": b"yes"})


def price(name: str) -> pa.Field:
    """Return a field of numbers that describe an item: text in its place is NaN, and does not cost the record."""
    return pa.field(name, pa.float64(), metadata={b"price": b"yes"})


def is_price(item: pa.Field) -> bool:
    """Return whether a field is marked as a price."""
    return (item.metadata or {}).get(b"price") == b"yes"


def is_integer(item: pa.Field) -> bool:
    """Return whether a field is marked as an integer."""
    return (item.metadata or {}).get(b"integer") == b"yes"
