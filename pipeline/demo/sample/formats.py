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
        root = fastavro.parse_schema(_avro_record("Root", schema))
        # The marker between blocks is random by default.
        self._writer = FastAvroWriter(self._file, root, codec="deflate", sync_marker=b"wals sample rows")

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


def _avro_record(name: str, fields: pa.Schema | pa.StructType, path: str = "root", **more: str) -> dict[str, Any]:
    """Return a record of Avro with BigQuery's names: Root, and below it each record by its path."""
    types = []
    for field in fields:
        repeated = pa.types.is_list(field.type)
        inner = field.type.value_type if repeated else field.type
        kind: Any = _AVRO.get(inner) or _avro_record(
            field.name[0].upper() + field.name[1:], inner, f"{path}.{field.name}", namespace=path
        )
        if repeated:
            types.append({"name": field.name, "type": {"type": "array", "items": kind}})
        else:
            types.append({"name": field.name, "type": ["null", kind], "default": None})
    return {"type": "record", **more, "name": name, "fields": types}
