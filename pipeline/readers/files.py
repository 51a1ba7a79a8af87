"""Export files and tables -> Arrow record batches: NDJSON, Avro, Parquet or CSV, plain or gzip.

The first bytes of a file tell its format, not its name. Only the fields that a source asks for are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from configs.errors import UserError
from pipeline.readers import avro, csv_rows, parquet
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.opening import AVRO, OTHER_FORMATS, PARQUET, opened
from pipeline.readers.records import FormatError, RawBatch

_BATCH_ROWS = 1 << 15


class ExportReader:
    """Reads the files of a Google Analytics export: NDJSON, Avro or Parquet."""

    def __init__(self, schema: pa.Schema, ndjson: NdjsonReader | None = None):
        """Read the fields of a schema, nested; its leaves are strings where files have strings or integers."""
        self._schema, self._ndjson = schema, ndjson or NdjsonReader(schema)

    def read(self, path: str) -> Iterator[RawBatch]:
        """Yield the records of a file.

        Raises:
            UserError: the file has none of the formats, or cannot be read to its end; the message names the record.
        """
        with opened(path) as (file, head):
            if head.startswith(AVRO):
                yield from _numbered(avro.batches(file, self._schema, _BATCH_ROWS), path)
            elif head.startswith(PARQUET):
                yield from _numbered(parquet.batches(file, self._schema, _BATCH_ROWS), path)
            else:
                _refuse_other(head, path, "newline-delimited JSON, Avro or Parquet")
                yield from _named(self._ndjson.read(file), path)


class TableReader:
    """Reads columns of CSV and Parquet files; the first two, the ids, may come dictionary-encoded."""

    def __init__(self, names: list[str]):
        self._names = names

    def read(self, path: str) -> Iterator[RawBatch]:
        """Yield the rows of a file.

        Raises:
            UserError: the file is neither, lacks one of the columns, or cannot be read to its end.
        """
        with opened(path) as (file, head):
            if head.startswith(PARQUET):
                yield from _numbered(self._parquet(file, path), path)
            elif head.startswith(AVRO) or b"\0" in head:
                raise UserError(f"{path} is not CSV or Parquet; check source.input and source.kind")
            else:
                _refuse_other(head, path, "CSV or Parquet")
                yield from _named(self._csv(file, path), path)

    def _parquet(self, file: BinaryIO, path: str) -> Iterator[pa.RecordBatch]:
        table = pyarrow.parquet.ParquetFile(file, read_dictionary=self._names[:2])
        self._check_columns(table.schema_arrow.names, path)
        yield from table.iter_batches(batch_size=8 * _BATCH_ROWS, columns=self._names)

    def _csv(self, file: BinaryIO, path: str) -> Iterator[RawBatch]:
        self._check_columns(csv_rows.header(file), path)
        yield from csv_rows.batches(file, self._names)

    def _check_columns(self, names: list[str], path: str) -> None:
        for name in self._names:
            if name not in names:
                raise UserError(f"{path} has no column {name}; it has {', '.join(names)}")


def _refuse_other(head: bytes, path: str, formats: str) -> None:
    for start, name in OTHER_FORMATS.items():
        if head.startswith(start):
            raise UserError(f"{path} is not {formats} but {name}")


def _numbered(batches: Iterator[pa.RecordBatch], path: str) -> Iterator[RawBatch]:
    def raw() -> Iterator[RawBatch]:
        number = 1
        for batch in batches:
            yield RawBatch(batch, np.arange(number, number + batch.num_rows))
            number += batch.num_rows

    return _named(raw(), path)


def _named(batches: Iterator[RawBatch], path: str) -> Iterator[RawBatch]:
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
        raise UserError(f"{path} is not newline-delimited JSON, Avro or Parquet{known}") from None
    except Exception as error:  # the libraries raise exceptions of any type where bytes are damaged
        raise UserError(f"{path}, after record {last}: {_one_line(error)}; export the file again") from error


def _one_line(error: BaseException) -> str:
    """Return the message without the row that Arrow's CSV reader shows, which contains a visitor's id."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"(CSV parse error: .*?Expected \d+ columns, got \d+):.*", r"\1 in bytes that are not UTF-8", text)
