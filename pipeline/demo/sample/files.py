"""The files of the sample: three renderings of the same rows, and a directory that is whole or not there."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import fastavro
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.write import Writer as FastAvroWriter

from configs.errors import UserError
from pipeline.demo.sample.rows import Fields, Row

INVENTORY = "sample.json"
_STAGING = ".sample-partial"
_GZIP_LEVEL = 4  # half the time of level 6 for a tenth more bytes
_ROWS_AT_ONCE = 500
_PARQUET_ROWS = 20_000
_AVRO = {"STRING": "string", "INT64": "long", "FLOAT64": "double", "BOOL": "boolean"}
_ARROW = {"STRING": pa.string(), "INT64": pa.int64(), "FLOAT64": pa.float64(), "BOOL": pa.bool_()}


class RowWriter(Protocol):
    """A file of rows that grows."""

    def write(self, rows: Iterable[Row]) -> None: ...

    def close(self) -> None: ...


class NdjsonWriter:
    """Newline-delimited JSON, gzip, the same bytes whenever it is written."""

    def __init__(self, path: str, fields: Fields) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - until close()
        self._gzip = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)

    def write(self, rows: Iterable[Row]) -> None:
        lines: list[bytes] = []
        for row in rows:
            lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            if len(lines) == _ROWS_AT_ONCE:
                self._gzip.write(b"".join(lines))
                lines = []
        self._gzip.write(b"".join(lines))

    def close(self) -> None:
        self._gzip.close()
        self._file.close()


class AvroWriter:
    """Avro as `bq extract` writes it: every field a union with null, repeated fields arrays; deflate."""

    def __init__(self, path: str, fields: Fields) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - until close()
        schema = fastavro.parse_schema(avro_schema(fields))
        # The marker between blocks is random by default.
        self._writer = FastAvroWriter(self._file, schema, codec="deflate", sync_marker=b"wals sample rows")

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._writer.write(row)

    def close(self) -> None:
        self._writer.flush()
        self._file.close()


class ParquetWriter:
    """Parquet as `bq extract` writes it: records as groups, repeated fields as lists; snappy."""

    def __init__(self, path: str, fields: Fields) -> None:
        self._schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in fields])
        self._writer = pq.ParquetWriter(path, self._schema, compression="snappy")
        self._rows: list[Row] = []

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.append(row)
            if len(self._rows) == _PARQUET_ROWS:
                self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


FORMATS: dict[str, tuple[Callable[[str, Fields], RowWriter], str]] = {
    "ndjson": (NdjsonWriter, ".ndjson.gz"),
    "avro": (AvroWriter, ".avro"),
    "parquet": (ParquetWriter, ".parquet"),
}


def arrow_type(kind: Any) -> pa.DataType:
    """The Arrow type of a field's type."""
    if isinstance(kind, tuple):
        return pa.list_(arrow_type(kind[0]))
    if isinstance(kind, list):
        return pa.struct([pa.field(name, arrow_type(inner)) for name, inner in kind])
    return _ARROW[kind]


def avro_schema(fields: Fields) -> dict[str, Any]:
    """The Avro schema of a table, with BigQuery's names: Root, then each record by its path."""
    return {"type": "record", "name": "Root", "fields": [_avro_field(*field, "root") for field in fields]}


def _avro_field(name: str, kind: Any, namespace: str) -> dict[str, Any]:
    if isinstance(kind, tuple):
        return {"name": name, "type": {"type": "array", "items": _avro_type(name, kind[0], namespace)}}
    return {"name": name, "type": ["null", _avro_type(name, kind, namespace)], "default": None}


def _avro_type(name: str, kind: Any, namespace: str) -> Any:
    if not isinstance(kind, list):
        return _AVRO[kind]
    inner = f"{namespace}.{name}"
    return {
        "type": "record",
        "namespace": namespace,
        "name": name[0].upper() + name[1:],
        "fields": [_avro_field(of, type_, inner) for of, type_ in kind],
    }


class OutputDirectory:
    """A directory whose files appear all together at the end, and that owns only what it wrote before.

    The files of a sample are listed in its `sample.json`. Only these are ever replaced or removed.
    """

    def __init__(self, root: str, replace: bool) -> None:
        """Raises:
        UserError: the directory is not empty and not to be replaced, or cannot be made.
        """
        self.root = root
        self._staging = os.path.join(root, _STAGING)
        self.names: list[str] = []
        try:
            os.makedirs(root, exist_ok=True)
            others = sorted(set(os.listdir(root)) - {_STAGING})
        except OSError as error:
            raise UserError(f"{root} cannot be written: {error.strerror}") from error
        if others and not replace:
            raise UserError(f"{root} is not empty (it holds {others[0]}); choose another, or add --replace")
        self._owned = self._read_inventory()

    def _read_inventory(self) -> set[str]:
        path = os.path.join(self.root, INVENTORY)
        try:
            with open(path, encoding="utf-8") as file:
                owned = {os.path.normpath(name) for name in json.load(file)["files"]} | {INVENTORY}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no list of a sample's files; move it away") from error
        outside = sorted(name for name in owned if name.startswith(("..", os.sep)))
        if outside:
            raise UserError(f"{path} lists {outside[0]}, which is outside; move it away")
        return owned

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """What is added within appears when it ends without an error; with an error, nothing changes."""
        shutil.rmtree(self._staging, ignore_errors=True)
        try:
            os.makedirs(self._staging)
            yield
        except OSError as error:
            raise UserError(f"{self.root} cannot be written: {error.strerror or error}") from error
        finally:
            if os.path.isdir(self._staging):
                shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, name: str) -> str:
        """The path under which to write the file `name` for now.

        Raises:
            UserError: the directory holds such a file already, and no sample has made it.
        """
        if name not in self._owned and os.path.lexists(os.path.join(self.root, name)):
            raise UserError(f"{os.path.join(self.root, name)} was not made by this command; move it away")
        self.names.append(name)
        path = os.path.join(self._staging, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def publish(self, description: Mapping[str, Any]) -> int:
        """Moves all files to their places, removes the former sample's, and returns the bytes written."""
        with open(self.add(INVENTORY), "w", encoding="utf-8") as file:
            json.dump({**description, "files": sorted(set(self.names) - {INVENTORY})}, file, indent=2)
            file.write("\n")
        written = sum(os.path.getsize(os.path.join(self._staging, name)) for name in self.names)
        for name in sorted(self._owned - set(self.names) - {INVENTORY}):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.root, name))
        # The inventory first: whatever is moved after it is known to be ours.
        for name in reversed(self.names):
            os.makedirs(os.path.dirname(os.path.join(self.root, name)), exist_ok=True)
            os.replace(os.path.join(self._staging, name), os.path.join(self.root, name))
        self._remove_empty_folders()
        return written

    def _remove_empty_folders(self) -> None:
        for folder in {os.path.dirname(name) for name in self._owned} - {""}:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self.root, folder))
