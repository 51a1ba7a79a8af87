"""Files of rows in the formats of BigQuery's exports: NDJSON, Avro and Parquet."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import fastavro
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.write import Writer as FastAvroWriter

from pipeline.demo.sample.rows import Row

_GZIP_LEVEL = 4  # half the time of level 6 for a tenth more bytes
_PARQUET_ROWS = 20_000  # per row group
_AVRO = {pa.string(): "string", pa.int64(): "long", pa.float64(): "double", pa.bool_(): "boolean"}


class NdjsonWriter:
    """Newline-delimited JSON in gzip, with the same bytes at any time."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - until close()
        self._gzip = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)

    def write(self, rows: Sequence[Row]) -> None:
        self._gzip.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))

    def close(self) -> None:
        self._gzip.close()
        self._file.close()


class AvroWriter:
    """Avro as `bq extract` writes it: every field a union with null, repeated fields arrays; deflate."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - until close()
        # The marker between blocks is random by default.
        self._writer = FastAvroWriter(
            self._file, fastavro.parse_schema(avro_schema(schema)), codec="deflate", sync_marker=b"wals sample rows"
        )

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._writer.write(row)

    def close(self) -> None:
        self._writer.flush()
        self._file.close()


class ParquetWriter:
    """Parquet as `bq extract` writes it: records as groups, repeated fields as lists; snappy."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._schema, self._rows = schema, list[Row]()
        self._writer = pq.ParquetWriter(path, schema, compression="snappy")

    def write(self, rows: Sequence[Row]) -> None:
        self._rows += rows
        while len(self._rows) >= _PARQUET_ROWS:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows[:_PARQUET_ROWS], self._schema))
        del self._rows[:_PARQUET_ROWS]


RowWriter = NdjsonWriter | AvroWriter | ParquetWriter
# Format -> the writer, and the suffix of its files.
FORMATS: dict[str, tuple[type[RowWriter], str]] = {
    "ndjson": (NdjsonWriter, ".ndjson.gz"),
    "avro": (AvroWriter, ".avro"),
    "parquet": (ParquetWriter, ".parquet"),
}


def avro_schema(schema: pa.Schema) -> dict[str, Any]:
    """Return the Avro schema of a table, with BigQuery's names: Root, and below it each record by its path."""
    return {"type": "record", "name": "Root", "fields": [_avro_field(field, "root") for field in schema]}


def _avro_field(field: pa.Field, namespace: str) -> dict[str, Any]:
    if pa.types.is_list(field.type):
        return {
            "name": field.name,
            "type": {"type": "array", "items": _avro_type(field.name, field.type.value_type, namespace)},
        }
    return {"name": field.name, "type": ["null", _avro_type(field.name, field.type, namespace)], "default": None}


def _avro_type(name: str, kind: pa.DataType, namespace: str) -> Any:
    if not pa.types.is_struct(kind):
        return _AVRO[kind]
    return {
        "type": "record",
        "namespace": namespace,
        "name": name[0].upper() + name[1:],
        "fields": [_avro_field(field, f"{namespace}.{name}") for field in kind],
    }
