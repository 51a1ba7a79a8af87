"""Avro -> Arrow by fastavro, which trusts the lengths and counts in a file: hostile ones are refused here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fastavro
import pyarrow as pa

from pipeline.readers.json_lines import as_binary, conform
from pipeline.readers.parquet import refuse_other_forms
from pipeline.readers.records import FormatError

_MOST_BYTES = 1 << 28  # of a block; BigQuery's rows have 100 MB at most
_MOST_RECORDS = 1 << 13  # at once, since as Python's objects they take many times their bytes
_NULL = "null"
_LOGICAL = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
}
_MOST_DIGITS_OF_128, _MOST_DIGITS_OF_256 = 38, 76
_NESTED = {"map": pa.map_(pa.string(), pa.null()), "record": pa.struct([])}  # where no record is due
_LEAVES = {
    "long": pa.int64(),
    "int": pa.int64(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
}
# Python's dates end in 9999, and one beyond would cost the file; Arrow does not take the objects of UUIDs.
for _name in fastavro.read.LOGICAL_READERS.keys() - {"bytes-decimal", "fixed-decimal"}:
    fastavro.read.LOGICAL_READERS[_name] = lambda value, *_: value
_PRIMITIVE = (_NULL, "boolean", "int", "long", "float", "double", "bytes", "string")


class _Bounded(io.RawIOBase):
    """A file that refuses to read more at once than a block of an export can have."""

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_BYTES:
            raise ValueError(f"a length of {size} bytes; a block has {_MOST_BYTES >> 20} MB at most")
        return self._file.read(size)


def batches(file: BinaryIO, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file, at most `rows` at a time, with the fields that an Arrow schema names.

    Raise ValueError if the file claims what no export does: blocks of any length, or records that take no bytes; or any
    of fastavro's exceptions, where bytes are damaged.
    """
    bounded = cast(BinaryIO, _Bounded(file))
    written = fastavro.reader(bounded).writer_schema
    if _refuse_hostile(written, {name: name == _NULL for name in _PRIMITIVE}):
        raise ValueError("its records take no bytes")
    wanted = pa.struct(list(schema))
    projection = _project(written, wanted)
    file.seek(0)
    reader = fastavro.reader(bounded, reader_schema=projection)
    target = _as_written(wanted, projection)
    refuse_other_forms(pa.schema(list(target)), schema)
    records: list[Any] = []
    for record in _records(reader):
        records.append(record)
        if len(records) == min(rows, _MOST_RECORDS):
            yield _from_records(records, target)
            records = []
    if records:
        yield _from_records(records, target)


def _records(reader: Any) -> Iterator[Any]:
    """Yield the records of a fastavro.reader; raise FormatError if its codec is unknown or has no library here."""
    try:
        yield from reader
    except ValueError as error:
        if " codec" not in str(error) and "codec:" not in str(error):
            raise
        raise FormatError(f"Avro compressed by {reader.codec}; write it with deflate or snappy") from None


def _refuse_hostile(avro: Any, known: dict[str, bool]) -> bool:
    """Return whether a value of this schema takes no bytes; `known` has the answer for each named type.

    Raise ValueError if items of an array take none, so that it can have any length, or if a type contains itself.
    """
    if isinstance(avro, list):
        for branch in avro:
            _refuse_hostile(branch, known)
        return False
    if isinstance(avro, str):
        if avro not in known:
            raise ValueError(f"its schema's type {avro} contains itself")
        return known[avro]
    kind, takes_none = avro["type"], False
    if kind == "array":
        if _refuse_hostile(avro["items"], known):
            raise ValueError("its schema has an array of items that take no bytes")
    elif kind == "map":
        _refuse_hostile(avro["values"], known)
    elif kind == "record":
        fields = [_refuse_hostile(item["type"], known) for item in avro["fields"]]  # every one, hence a list
        takes_none = all(fields)
    else:
        takes_none = avro["size"] == 0 if kind == "fixed" else known.get(kind, False)
    if "name" in avro:
        known[avro["name"]] = takes_none
    return takes_none


def _from_records(records: list[Any], target: pa.StructType) -> pa.RecordBatch:
    try:
        array = pa.array(records, type=target)
    except pa.ArrowException:  # text and numbers in one field, by a union
        array = pa.array([conform(record, target, "record") for record in records], type=as_binary(target))
    return pa.RecordBatch.from_struct_array(array)


def _project(avro: Any, wanted: pa.DataType) -> Any:
    """Return an Avro schema with only the fields that an Arrow type names."""
    if isinstance(avro, list):
        return [branch if branch == _NULL else _project(branch, wanted) for branch in avro]
    if isinstance(avro, dict) and avro["type"] == "array" and pa.types.is_list(wanted):
        return {**avro, "items": _project(avro["items"], wanted.value_type)}
    if isinstance(avro, dict) and avro["type"] == "record" and pa.types.is_struct(wanted):
        names = {item.name: item.type for item in wanted}
        kept = [item for item in avro["fields"] if item["name"] in names]
        fields = [{**item, "type": _project(item["type"], names[item["name"]])} for item in kept]
        return {**avro, "fields": fields}
    return avro


def _as_written(wanted: pa.DataType, avro: Any) -> pa.DataType:
    """Return the wanted Arrow type with its leaves as the Avro schema types them."""
    if isinstance(avro, list):
        branches = [branch for branch in avro if branch != _NULL]
        return _as_written(wanted, branches[0]) if len(branches) == 1 else wanted
    if pa.types.is_list(wanted) and isinstance(avro, dict) and avro["type"] == "array":
        return pa.list_(_as_written(wanted.value_type, avro["items"]))
    if pa.types.is_struct(wanted) and isinstance(avro, dict) and avro["type"] == "record":
        types = {item["name"]: item["type"] for item in avro["fields"]}
        return pa.struct([pa.field(f.name, _as_written(f.type, types[f.name])) for f in wanted if f.name in types])
    if isinstance(avro, dict) and avro.get("logicalType") in _LOGICAL:
        return _LOGICAL[avro["logicalType"]]
    if isinstance(avro, dict) and avro.get("logicalType") == "decimal":
        make = pa.decimal128 if avro["precision"] <= _MOST_DIGITS_OF_128 else pa.decimal256
        return make(min(avro["precision"], _MOST_DIGITS_OF_256), avro.get("scale", 0))
    name = avro["type"] if isinstance(avro, dict) else avro
    if name == "array":
        return pa.list_(_as_written(pa.null(), avro["items"]))
    return (_NESTED | _LEAVES).get(name, pa.string()) if isinstance(name, str) else wanted
