"""Newline-delimited JSON -> Arrow, by blocks; record by record only where a block contains something odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.json

from pipeline.readers.records import RawBatch


class Parsed(NamedTuple):
    """The records of a block; their positions among its lines int64[records]; position and complaint of bad lines."""

    records: pa.RecordBatch
    positions: np.ndarray
    malformed: list[tuple[int, str]]


class NdjsonReader:
    """Reads lines of JSON objects; blank lines are not records.

    Arrow parses the first bytes. A compiled pass (`pipeline.readers.json_columns`), twice as fast, takes over once the
    reader has read enough to be worth its import and compilation. Both return the same records.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        block_bytes: int = 1 << 22,
        bytes_before_compiling: float = 1 << 27,
        max_line_bytes: int = 1 << 28,
    ):
        """Read the fields of a schema.

        Args:
            schema: the fields; string leaves also accept integers, which bq extract writes as strings.
            max_line_bytes: a longer line is an error; BigQuery's rows have 100 MB at most.
        """
        self._schema, self._schema_with_integers = schema, _with_integers(schema)
        self._block_bytes, self._max_line_bytes = block_bytes, max_line_bytes
        self._bytes_before_compiling, self._bytes_read = bytes_before_compiling, 0

    def read(self, file: BinaryIO) -> Iterator[RawBatch]:
        """Yield the records of a file, one batch per block.

        Raises:
            EOFError: the last line has no line end and is not JSON: the file is truncated.
            ValueError: a line is longer than a record of an export can be.
        """
        number = 1
        for block in self._blocks(file):
            records, positions, malformed = self.parse(block)
            lines = _count_lines(block)
            if not block.endswith(b"\n") and malformed and malformed[-1][0] == lines - 1:
                raise EOFError(f"the last record, {number + lines - 1}, ends within its JSON")
            complaints = [(number + position, complaint) for position, complaint in malformed]
            yield RawBatch(records, positions + number, complaints)
            number += lines

    def parse(self, block: bytes) -> Parsed:
        """Parse whole lines."""
        self._bytes_read += len(block)
        if self._bytes_read > self._bytes_before_compiling:
            from pipeline.readers import json_columns  # Numba takes a second to import, and the pass some to compile

            batch = json_columns.parse(block, self._schema)
            if batch is not None:
                return Parsed(batch, np.arange(batch.num_rows), [])
        lines = _count_lines(block)
        for schema in (self._schema, self._schema_with_integers):
            try:
                return Parsed(_parse_block(block, lines, schema), np.arange(lines), [])
            except (pa.ArrowInvalid, UnicodeDecodeError):
                continue
        return _parse_lines(block.removesuffix(b"\n").split(b"\n"), self._schema)

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield whole lines with their line ends, a block at a time; the file's last line may have none."""
        rest: list[bytes] = []
        size = 0
        while data := file.read(self._block_bytes):
            end = data.rfind(b"\n") + 1
            if end:
                yield b"".join([*rest, memoryview(data)[:end]])
                rest, size = [], 0
            rest.append(data[end:])
            size += len(rest[-1])
            if size > self._max_line_bytes:
                raise ValueError(f"a line is longer than {self._max_line_bytes >> 20} MB, the most of any record")
        if size:
            yield b"".join(rest)


def _count_lines(block: bytes) -> int:
    """Count the lines of a block, whether or not the last has a line end."""
    newlines = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))  # ten times the speed of bytes.count
    return int(newlines) + (not block.endswith(b"\n"))


def _parse_block(block: bytes, lines: int, schema: pa.Schema) -> pa.RecordBatch:
    table = pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != lines:
        raise pa.ArrowInvalid("a line is blank or contains more than one record")
    batch = table.combine_chunks().to_batches()[0]
    if all(column.null_count for column in batch.columns) and _has_null_rows(batch):
        raise pa.ArrowInvalid("a line may be `null`, which Arrow takes for an object")
    batch.validate(full=True)  # Arrow's parser accepts ids that are not UTF-8
    return batch


def _has_null_rows(batch: pa.RecordBatch) -> bool:
    nulls = [column.is_null().to_numpy(zero_copy_only=False) for column in batch.columns]
    return bool(np.logical_and.reduce(nulls).any())


def _parse_lines(lines: list[bytes], schema: pa.Schema) -> Parsed:
    target = pa.struct(list(schema))
    records, positions, malformed = [], [], []
    for position, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            record = _conform(_load(line), target, "record")
            if record is None:
                raise ValueError("record is not an object")
        except (ValueError, RecursionError) as error:
            malformed.append((position, " ".join(str(error).split())))
        else:
            records.append(record)
            positions.append(position)
    batch = pa.RecordBatch.from_struct_array(pa.array(records, type=_as_binary(target)))
    return Parsed(batch, np.array(positions, np.int64), malformed)


def _load(line: bytes) -> Any:
    # Bytes that are not UTF-8 become surrogates, so that they reach the check of ids unchanged.
    return json.loads(line.decode("utf-8", "surrogateescape"))


def _conform(value: Any, target: pa.DataType, name: str) -> Any:
    """Return a value in the shape of a type, leaves as bytes.

    Raises:
        ValueError: the shape differs, e.g. an object where a list is due.
    """
    if value is None:
        return None
    if pa.types.is_struct(target):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not an object")
        return {item.name: _conform(value.get(item.name), item.type, item.name) for item in target}
    if pa.types.is_list(target):
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        return [_conform(item, target.value_type, name) for item in value]
    if isinstance(value, (dict, list)):
        raise ValueError(f"{name} is not a plain value")
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return text.encode("utf-8", "surrogatepass")


def _with_integers(schema: pa.Schema) -> pa.Schema:
    """Return the schema of an export whose integers are JSON numbers; only marked fields change."""

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
    """Return a field that BigQuery types INT64: a string of digits in the JSON of `bq extract`, a number elsewhere."""
    return pa.field(name, pa.string(), metadata={b"integer": b"yes"})


def _as_binary(target: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(target):
        return pa.struct([pa.field(item.name, _as_binary(item.type)) for item in target])
    if pa.types.is_list(target):
        return pa.list_(_as_binary(target.value_type))
    return pa.binary() if pa.types.is_string(target) else target
