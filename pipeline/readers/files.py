"""Export files and tables -> Arrow record batches: NDJSON, Avro, Parquet or CSV, plain or gzip.

The first bytes of a file tell its format, not its name. Only the fields that a source asks for are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from configs.errors import UserError
from pipeline.readers import avro, parquet
from pipeline.readers.csv_rows import CsvReader, MissingColumnError
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.opening import AVRO, OTHER_FORMATS, PARQUET, opened
from pipeline.readers.records import FormatError, RawBatch, without_values

_BATCH_ROWS = 1 << 15
_EXPORT, _TABLE = "newline-delimited JSON, Avro or Parquet", "CSV or Parquet"


class ExportReader:
    """Reads the files of a Google Analytics export: NDJSON, Avro or Parquet."""

    def __init__(self, schema: pa.Schema, ndjson: NdjsonReader | None = None, batch_rows: int = _BATCH_ROWS):
        """Read the fields of a schema, nested; its leaves are strings where files have strings or integers."""
        self._schema, self._ndjson, self._batch_rows = schema, ndjson or NdjsonReader(schema), batch_rows

    def read(self, path: str) -> Iterator[RawBatch]:
        """Yield the records of a file.

        Raises:
            UserError: the file has none of the formats, or cannot be read to its end; the message names the record.
        """
        with opened(path) as (file, head):
            yield from self.batches(file, head, path)

    def batches(self, file: BinaryIO, head: bytes, path: str) -> Iterator[RawBatch]:
        """Yield the records of an open file, as `read` does.

        Args:
            file, head: of `pipeline.readers.opening.opened`.
        """
        if head.startswith(AVRO):
            yield from _numbered(avro.batches(file, self._schema, self._batch_rows), path, _EXPORT)
        elif head.startswith(PARQUET):
            yield from _numbered(parquet.batches(file, self._schema, self._batch_rows), path, _EXPORT)
        else:
            _refuse_other(head, path, _EXPORT)
            yield from _named(self._ndjson.read(file), path, _EXPORT)


class TableReader:
    """Reads columns of CSV and Parquet files; the first two, the ids, may come dictionary-encoded."""

    def __init__(self, names: list[str], csv: CsvReader | None = None, batch_rows: int = 8 * _BATCH_ROWS):
        self._names, self._csv, self._batch_rows = names, csv or CsvReader(names), batch_rows

    def read(self, path: str) -> Iterator[RawBatch]:
        """Yield the rows of a file; none where it is empty.

        Raises:
            UserError: the file is neither, lacks one of the columns, or cannot be read to its end.
        """
        with opened(path) as (file, head):
            yield from self.batches(file, head, path)

    def batches(self, file: BinaryIO, head: bytes, path: str) -> Iterator[RawBatch]:
        """Yield the rows of an open file, as `read` does.

        Args:
            file, head: of `pipeline.readers.opening.opened`.
        """
        if head.startswith(PARQUET):
            yield from _numbered(self._parquet(file), path, _TABLE)
        else:
            _refuse_other(head, path, _TABLE)
            yield from _named(self._csv.read(file), path, _TABLE)

    def _parquet(self, file: BinaryIO) -> Iterator[pa.RecordBatch]:
        table = pyarrow.parquet.ParquetFile(file, read_dictionary=self._names[:2])
        names = table.schema_arrow.names
        for name in self._names:
            if name not in names:
                raise MissingColumnError(name, names)
        for batch in table.iter_batches(batch_size=self._batch_rows, columns=self._names):
            yield parquet.without_views(batch)


def _refuse_other(head: bytes, path: str, formats: str) -> None:
    """Raise UserError if the first bytes of a file are those of another format."""
    for start, name in OTHER_FORMATS.items():
        if head.startswith(start):
            raise UserError(f"{path} is not {formats} but {name}")


def _numbered(batches: Iterator[pa.RecordBatch], path: str, formats: str) -> Iterator[RawBatch]:
    def raw() -> Iterator[RawBatch]:
        number = 1
        for batch in batches:
            yield RawBatch(batch, np.arange(number, number + batch.num_rows))
            number += batch.num_rows

    return _named(raw(), path, formats)


def _named(batches: Iterator[RawBatch], path: str, formats: str) -> Iterator[RawBatch]:
    """Add to each error the file and the record before it."""
    last = 0
    try:
        for batch in batches:
            if len(batch.numbers):
                last = int(batch.numbers[-1])
            yield batch
    except (UserError, MemoryError):
        raise
    except FormatError as error:
        known = f" but {error}" if str(error) else "; check source.input"
        raise UserError(f"{path} is not {formats}{known}") from None
    except MissingColumnError as error:
        raise UserError(f"{path} has no column {error.name}{_hint(error)}") from None
    except Exception as error:  # the libraries raise exceptions of any type where bytes are damaged
        message = without_values(error)
        raise UserError(f"{path}, after record {last}: {message}; export the file again") from None


def _hint(error: MissingColumnError) -> str:
    """Return what the file has in its place; other names are not shown: without a header, they are a visitor's row."""
    alike = [name for name in error.names if name.strip().lower() == error.name.lower()]
    if alike:
        return f"; it has {alike[0]!r}"
    return (
        f" among its {len(error.names)} columns: the first line must be a header, whose columns source.visitor_column "
        "and so on name; or set source.csv (header: false calls the columns column1, column2, ...)"
    )
