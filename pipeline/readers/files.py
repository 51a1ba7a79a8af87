"""Export files and tables -> Arrow record batches: NDJSON, Avro, Parquet or CSV, plain or gzip.

The first bytes of a file tell its format, not its name. Only the fields that a source asks for are read.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from artifacts.names import AVRO, PARQUET, other_format
from configs.errors import UserError
from pipeline.readers import avro, parquet
from pipeline.readers.csv_rows import CsvReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.opening import opened
from pipeline.readers.records import FormatError, MissingColumnError, RawBatch, without_values

_BATCH_ROWS = 1 << 15


class _Reader(abc.ABC):
    """Reads files of some formats."""

    formats: str  # their names
    binary: tuple[bytes, ...]  # the first bytes of those that are not text

    def read(self, path: str) -> Iterator[RawBatch]:
        """Yield the records of a file; none where it is empty.

        Raise UserError if it has none of the formats, lacks a column, or cannot be read to its end, naming the record.
        """
        with opened(path) as (file, head):
            yield from self.batches(file, head, path)

    def batches(self, file: BinaryIO, head: bytes, path: str) -> Iterator[RawBatch]:
        """Yield the records of an open file, as `read` does; file, head: of `pipeline.readers.opening.opened`."""
        if not head.startswith(self.binary) and (other := other_format(head)):  # gzip is decompressed once before
            raise UserError(f"{path} is not {self.formats} but {other}")
        yield from _named(self._batches(file, head), path, self.formats)

    @abc.abstractmethod
    def _batches(self, file: BinaryIO, head: bytes) -> Iterator[RawBatch]:
        """Return the records of a file that begins with `head`."""


class ExportReader(_Reader):
    """Reads the files of a Google Analytics export: NDJSON, Avro or Parquet."""

    formats, binary = "newline-delimited JSON, Avro or Parquet", (AVRO, PARQUET)

    def __init__(self, schema: pa.Schema, ndjson: NdjsonReader | None = None, batch_rows: int = _BATCH_ROWS):
        """Read the fields of a schema, nested; its leaves are strings where files have strings or integers."""
        self._schema, self._ndjson, self._batch_rows = schema, ndjson or NdjsonReader(schema), batch_rows

    def _batches(self, file: BinaryIO, head: bytes) -> Iterator[RawBatch]:
        for start, module in ((AVRO, avro), (PARQUET, parquet)):
            if head.startswith(start):
                return _numbered(module.batches(file, self._schema, self._batch_rows))
        return self._ndjson.read(file)


class TableReader(_Reader):
    """Reads columns of CSV and Parquet files; the first two, the ids, may come dictionary-encoded."""

    formats, binary = "CSV or Parquet", (PARQUET,)

    def __init__(self, names: list[str], csv: CsvReader | None = None, batch_rows: int = 8 * _BATCH_ROWS):
        self._names, self._csv, self._batch_rows = names, csv or CsvReader(names), batch_rows

    def _batches(self, file: BinaryIO, head: bytes) -> Iterator[RawBatch]:
        return _numbered(self._parquet(file)) if head.startswith(PARQUET) else self._csv.read(file)

    def _parquet(self, file: BinaryIO) -> Iterator[pa.RecordBatch]:
        table = pyarrow.parquet.ParquetFile(file)
        names = table.schema_arrow.names
        for name in self._names:
            if name not in names:
                raise MissingColumnError(name, names, "name those that count in source.visitor_column and so on")
        parquet.refuse_other_forms(table.schema_arrow, pa.schema([(name, pa.string()) for name in self._names]))
        table = pyarrow.parquet.ParquetFile(file, metadata=table.metadata, read_dictionary=self._names[:2])
        for batch in table.iter_batches(batch_size=self._batch_rows, columns=self._names):
            yield parquet.without_views(batch)


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[RawBatch]:
    number = 1
    for batch in batches:
        yield RawBatch(batch, np.arange(number, number + batch.num_rows))
        number += batch.num_rows


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
    return f"; it has {alike[0]!r}" if alike else f" among its {len(error.names)} columns: {error.advice}"
