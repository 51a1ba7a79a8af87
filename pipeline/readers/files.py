"""Export files -> Arrow record batches: NDJSON, Avro, Parquet, CSV, plain or gzip, through Beam's file systems.

What a file holds is told by its first bytes, not by its name. Only the fields that a source asks for are read.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from isal import igzip, isal_zlib

from artifacts.storage import open_to_read
from configs.errors import UserError
from pipeline.readers import avro, ndjson

_GZIP, _AVRO, _PARQUET = b"\x1f\x8b", b"Obj\x01", b"PAR1"
_BATCH_ROWS = 1 << 15
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 300
_CSV_BLOCK_BYTES = 1 << 23
_LIST_WRAPPERS = {"list", "element", "item", "array", "bag", "array_element"}


@dataclass
class RawBatch:
    """Some records of a file.

    columns: the fields asked for, as the file types them. numbers: int64[rows], each record's place in its
    file, from 1. malformed: place and complaint of each record that could not be read.
    """

    columns: pa.RecordBatch
    numbers: np.ndarray
    malformed: list[tuple[int, str]] = field(default_factory=list)


def read_export(path: str, schema: pa.Schema) -> Iterator[RawBatch]:
    """Reads a Google Analytics export file: NDJSON, Avro or Parquet.

    Args:
        path: the file.
        schema: the fields to read, nested; leaves are strings where the file may hold strings or integers.

    Raises:
        UserError: the file cannot be read to its end, naming the record; or it is none of the three.
    """
    with _opened(path) as (file, head):
        if head.startswith(_AVRO):
            yield from _numbered(avro.batches(file, schema, _BATCH_ROWS), path)
        elif head.startswith(_PARQUET):
            yield from _numbered(_read_parquet(file, schema), path)
        elif not head or head.lstrip()[:1] in (b"{", b""):
            yield from _named(_read_ndjson(file, schema), path)
        else:
            raise UserError(f"{path} is not newline-delimited JSON, Avro or Parquet; check source.input")


def read_table(path: str, names: list[str]) -> Iterator[RawBatch]:
    """Reads the named columns of a CSV or Parquet file; the first two, the ids, may come dictionary-encoded.

    Raises:
        UserError: the file cannot be read to its end, or lacks one of the columns.
    """
    with _opened(path) as (file, head):
        if head.startswith(_PARQUET):
            yield from _numbered(_read_parquet_table(file, names, path), path)
        elif head.startswith(_AVRO) or b"\0" in head:
            raise UserError(f"{path} is not CSV or Parquet; check source.input and source.kind")
        else:
            yield from _named(_read_csv(file, names, path), path)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, bytes]]:
    """Opens a file, looking through gzip; gives it with its first bytes, positioned at its start."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_to_read(path))
            head = file.read(512)
            file.seek(0)
            if head.startswith(_GZIP):
                file = cast(BinaryIO, stack.enter_context(_Gzip(file, path)))
                head = file.read(512)
                file.seek(0)
                if head.startswith(_PARQUET):  # needs to be read from its end
                    plain = stack.enter_context(tempfile.TemporaryFile())
                    shutil.copyfileobj(file, plain)
                    plain.seek(0)
                    file = plain
        except FileNotFoundError:
            raise UserError(f"{path} does not exist") from None
        except (OSError, EOFError, isal_zlib.error) as error:
            raise UserError(f"{path} cannot be read: {_one_line(error)}") from error
        yield file, head


class _Gzip(igzip.IGzipFile):
    """Unpacks, up to the point where it can only be a bomb: an export shrinks to a tenth, not to a thousandth."""

    def __init__(self, packed: BinaryIO, path: str):
        super().__init__(fileobj=packed)
        self._packed, self._path = packed, path

    def read(self, size: int | None = -1) -> bytes:
        """Raises:
        UserError: it is a bomb.
        """
        data = super().read(size)
        if self.tell() > _BOMB_BYTES and self.tell() > _BOMB_RATIO * self._packed.tell():
            raise UserError(
                f"{self._path} unpacks to more than {_BOMB_RATIO} times its size, as no export does; check the file"
            )
        return data


def _read_ndjson(file: BinaryIO, schema: pa.Schema) -> Iterator[RawBatch]:
    number = 1
    for block in ndjson.blocks(file):
        columns, places, malformed = ndjson.parse(block, schema)
        lines = ndjson.count_lines(block)
        if not block.endswith(b"\n") and malformed and malformed[-1][0] == lines - 1:
            raise EOFError(f"the last record, {number + lines - 1}, ends within its JSON")
        yield RawBatch(columns, places + number, [(number + place, complaint) for place, complaint in malformed])
        number += lines


def _read_parquet(file: BinaryIO, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    parquet = pyarrow.parquet.ParquetFile(file)
    wanted = set(_leaves(pa.struct(list(schema)), ()))
    paths = [parquet.schema.column(index).path for index in range(len(parquet.schema))]
    kept = [path for path in paths if tuple(p for p in path.split(".") if p not in _LIST_WRAPPERS) in wanted]
    if not kept:
        raise ValueError(f"none of the columns {', '.join(schema.names)} is in it; check source.input and source.kind")
    yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=kept)


def _read_parquet_table(file: BinaryIO, names: list[str], path: str) -> Iterator[pa.RecordBatch]:
    parquet = pyarrow.parquet.ParquetFile(file, read_dictionary=names[:2])
    _refuse_missing(names, parquet.schema_arrow.names, path)
    yield from parquet.iter_batches(batch_size=8 * _BATCH_ROWS, columns=names)


def _leaves(wanted: pa.DataType, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if pa.types.is_list(wanted):
        yield from _leaves(wanted.value_type, prefix)
    elif pa.types.is_struct(wanted):
        for item in wanted:
            yield from _leaves(item.type, (*prefix, item.name))
    else:
        yield prefix


def _read_csv(file: BinaryIO, names: list[str], path: str) -> Iterator[RawBatch]:
    malformed: dict[int, str] = {}

    def keep_aside(row: pyarrow.csv.InvalidRow) -> str:
        # Arrow counts the header as the first row.
        malformed[(row.number or 1) - 1] = f"{row.actual_columns} columns where {row.expected_columns} are due"
        return "skip"

    header = pyarrow.csv.open_csv(io.BytesIO(file.readline() or b"\n")).schema.names
    file.seek(0)
    _refuse_missing(names, header, path)
    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep_aside),
        convert_options=pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types={name: pa.binary() for name in names},
            include_columns=names,
            strings_can_be_null=False,
        ),
    )
    number = 1
    for batch in reader:
        numbers = itertools.islice((n for n in itertools.count(number) if n not in malformed), batch.num_rows)
        places = np.fromiter(numbers, np.int64, batch.num_rows)
        number = int(places[-1]) + 1 if len(places) else number
        passed = [(place, malformed.pop(place)) for place in sorted(malformed) if place < number]
        yield RawBatch(batch, places, passed)
    if malformed:
        yield RawBatch(pa.RecordBatch.from_pylist([], reader.schema), np.zeros(0, np.int64), sorted(malformed.items()))


def _refuse_missing(names: list[str], found: list[str], path: str) -> None:
    for name in names:
        if name not in found:
            raise UserError(f"{path} has no column {name}; it has {', '.join(found)}")


def _numbered(batches: Iterator[pa.RecordBatch], path: str) -> Iterator[RawBatch]:
    def raw() -> Iterator[RawBatch]:
        number = 1
        for batch in batches:
            yield RawBatch(batch, np.arange(number, number + batch.num_rows))
            number += batch.num_rows

    return _named(raw(), path)


def _named(batches: Iterator[RawBatch], path: str) -> Iterator[RawBatch]:
    """Gives each complaint about a file its name and the record at which it came."""
    last = 0
    try:
        for batch in batches:
            if len(batch.numbers):
                last = int(batch.numbers[-1])
            yield batch
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the libraries raise all kinds of them where bytes are not what they should be
        raise UserError(f"{path}, after record {last}: {_one_line(error)}; export the file again") from error


def _one_line(error: BaseException) -> str:
    """The message; without the row that Arrow's CSV reader shows, which has a visitor's id in it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"(CSV parse error: .*?Expected \d+ columns, got \d+):.*", r"\1 in bytes that are no UTF-8", text)
