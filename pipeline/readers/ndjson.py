"""Newline-delimited JSON -> Arrow, by blocks; record by record only where a block holds something odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.json

_BLOCK_BYTES = 1 << 22
_WARM_BYTES = 1 << 27  # read by this process before the compiled pass is worth its compiling
_MOST_BYTES = 1 << 28  # of a record; BigQuery's rows have 100 MB at most

_read_bytes = 0


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines of a file, a block at a time, with their newlines; the file's last line may have none.

    Raises:
        ValueError: a line that is longer than any export's.
    """
    rest: list[bytes] = []
    size = 0
    while data := file.read(_BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, memoryview(data)[:end]])
            rest, size = [], 0
        rest.append(data[end:])
        size += len(rest[-1])
        if size > _MOST_BYTES:
            raise ValueError(f"a line is longer than {_MOST_BYTES >> 20} MB, the most that a record may have")
    if size:
        yield b"".join(rest)


def count_lines(block: bytes) -> int:
    """Lines of a block, whether or not the last has a newline."""
    newlines = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))  # ten times bytes.count's speed
    return int(newlines) + (not block.endswith(b"\n"))


def parse(block: bytes, schema: pa.Schema) -> tuple[pa.RecordBatch, np.ndarray, list[tuple[int, str]]]:
    """Parses lines of JSON objects.

    Args:
        block: one object a line; blank lines are no records.
        schema: the fields to read; string leaves also take integers, which bq extract writes as strings.

    Returns:
        The records, their places among the lines int64[records], and place and complaint of each bad line.
    """
    global _read_bytes  # by this process; a race costs nothing
    _read_bytes += len(block)
    if _read_bytes > _WARM_BYTES:
        from pipeline.readers import json_columns  # Numba takes a second to import, and the pass some to compile

        batch = json_columns.parse(block, schema)
        if batch is not None:
            return batch, np.arange(batch.num_rows), []
    lines = count_lines(block)
    for variant in (schema, _with_integers(schema)):
        try:
            return _parse_block(block, lines, variant), np.arange(lines), []
        except (pa.ArrowInvalid, UnicodeDecodeError):
            continue
    return _parse_lines(block.removesuffix(b"\n").split(b"\n"), schema)


def _parse_block(block: bytes, lines: int, schema: pa.Schema) -> pa.RecordBatch:
    table = pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != lines:
        raise pa.ArrowInvalid("a line is blank or holds more than one record")
    batch = table.combine_chunks().to_batches()[0]
    if all(column.null_count for column in batch.columns) and _has_null_rows(batch):
        raise pa.ArrowInvalid("a line may be `null`, which Arrow takes for an object")
    batch.validate(full=True)  # an id that is not UTF-8 passes Arrow's parser
    return batch


def _has_null_rows(batch: pa.RecordBatch) -> bool:
    nulls = [column.is_null().to_numpy(zero_copy_only=False) for column in batch.columns]
    return bool(np.logical_and.reduce(nulls).any())


def _parse_lines(lines: list[bytes], schema: pa.Schema) -> tuple[pa.RecordBatch, np.ndarray, list[tuple[int, str]]]:
    target = pa.struct(list(schema))
    records, places, malformed = [], [], []
    for place, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            record = _conform(_load(line), target, "record")
            if record is None:
                raise ValueError("record is no object")
        except (ValueError, RecursionError) as error:
            malformed.append((place, " ".join(str(error).split())))
        else:
            records.append(record)
            places.append(place)
    batch = pa.RecordBatch.from_struct_array(pa.array(records, type=_as_binary(target)))
    return batch, np.array(places, np.int64), malformed


def _load(line: bytes) -> Any:
    # Bytes that are no UTF-8 are carried as surrogates, so that they reach the check of ids as they are.
    return json.loads(line.decode("utf-8", "surrogateescape"))


def _conform(value: Any, target: pa.DataType, name: str) -> Any:
    """The value in the shape of the type; leaves as bytes.

    Raises:
        ValueError: an object where a list is due, and the like.
    """
    if value is None:
        return None
    if pa.types.is_struct(target):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no object")
        return {item.name: _conform(value.get(item.name), item.type, item.name) for item in target}
    if pa.types.is_list(target):
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return [_conform(item, target.value_type, name) for item in value]
    if isinstance(value, (dict, list)):
        raise ValueError(f"{name} is no plain value")
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return text.encode("utf-8", "surrogatepass")


def _with_integers(schema: pa.Schema) -> pa.Schema:
    """The schema for an export whose integers are JSON numbers: only the fields marked as such."""

    def convert(item: pa.Field) -> pa.Field:
        return item.with_type(_map_leaves(item, convert))

    return pa.schema([convert(item) for item in schema])


def _map_leaves(item: pa.Field, convert: Any) -> pa.DataType:
    kind = item.type
    if pa.types.is_struct(kind):
        return pa.struct([convert(child) for child in kind])
    if pa.types.is_list(kind):
        return pa.list_(convert(kind.value_field))
    is_integer = (item.metadata or {}).get(b"integer") == b"yes"
    return pa.int64() if is_integer else kind


def integer(name: str) -> pa.Field:
    """A field that BigQuery types INT64: a string of digits in `bq extract`'s JSON, a number elsewhere."""
    return pa.field(name, pa.string(), metadata={b"integer": b"yes"})


def _as_binary(target: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(target):
        return pa.struct([pa.field(item.name, _as_binary(item.type)) for item in target])
    if pa.types.is_list(target):
        return pa.list_(_as_binary(target.value_type))
    return pa.binary() if pa.types.is_string(target) else target
