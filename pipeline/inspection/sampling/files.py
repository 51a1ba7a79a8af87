"""A sample of an export: the beginning of each of its files, bounded in bytes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow.parquet

from artifacts.names import PARQUET
from configs.errors import UserError
from configs.settings import CsvSettings, SourceSettings
from pipeline.inspection.sampling import schemas
from pipeline.inspection.sampling.kinds import NAMES, Kind, Layout, layout_of
from pipeline.readers.csv_rows import CsvReader
from pipeline.readers.files import ExportReader, TableReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.opening import GzipFile, opened
from pipeline.readers.records import RawBatch
from pipeline.sources.input_files import Input, match_files

MOST_BYTES = 1 << 28
_BYTES_PER_FILE = 1 << 22  # at least: more files are not opened
_Named = TypeVar("_Named")
_BLOCK_BYTES, _BATCH_ROWS = 1 << 20, 4096


@dataclass
class Sample:
    """Records of an export.

    batches: path and records. columns: the names of the first file's. files: how many match, and `opened` of them were
    opened, `blank` of these without records. share: of the bytes that were read. unit: file or table. header: of CSV.
    unfinished: whether only intraday or fresh tables match.
    """

    input: str
    kind: Kind
    columns: tuple[str, ...]
    files: int
    batches: list[tuple[str, RawBatch]] = field(default_factory=list)
    opened: int = 0
    blank: int = 0
    share: float = 0.0
    unfinished: bool = False
    unit: str = "file"
    header: bool = True

    @property
    def rows(self) -> int:
        """The number of records that could be read."""
        return sum(raw.columns.num_rows for _, raw in self.batches)

    @property
    def complaints(self) -> Counter[str]:
        """Complaints about the other records, with their counts."""
        return Counter(complaint for _, raw in self.batches for _, complaint in raw.malformed)


def take(input_: str, most_bytes: int = MOST_BYTES, bytes_per_file: int = _BYTES_PER_FILE) -> Sample:
    """Read a sample of the files that a glob matches.

    Args:
        most_bytes: of all files together, uncompressed; each file has an equal part.
        bytes_per_file: the least part of a file; if there are too many for it, evenly chosen ones are opened.

    Raises:
        UserError: no file matches, the files are of several kinds, one cannot be read, or none has records.
    """
    files, unfinished = _matching(input_)
    chosen = evenly(files.files, max(1, most_bytes // bytes_per_file))
    sample, first, left = Sample(input_, "table", (), len(files.files), unfinished=unfinished), "", float(most_bytes)
    parts = []
    for number, path in enumerate(chosen):
        with opened(path) as (file, head):
            layout = layout_of(file, head, path)
            if layout.kind is None:
                sample.blank += 1
                continue
            if not first:
                first, sample.kind, sample.columns = path, layout.kind, layout.columns
                sample.header = layout.header
            elif layout.kind != sample.kind:
                kinds = f"{first} is a {NAMES[sample.kind]}, {path} a {NAMES[layout.kind]}"
                raise UserError(f"{input_} matches files of several kinds: {kinds}; name those of one")
            expected = Layout(sample.kind, sample.columns, header=sample.header)
            read, part = _read(file, head, path, expected, left / (len(chosen) - number))
            left -= read.bytes
            sample.batches += read.batches
            parts.append(part)
    sample.opened = len(chosen)
    sample.share = float(np.mean(parts)) * len(chosen) / len(files.files) if parts else 0.0
    if sum(sample.complaints.values()) >= sample.rows:
        _refuse(sample)
    return sample


def _matching(input_: str) -> tuple[Input, bool]:
    """Return the files, without those of another version of a day; and whether only unfinished days match."""
    try:
        return match_files(SourceSettings(kind="ga4", input=input_)), False
    except UserError as error:
        if "include_intraday" not in str(error):
            raise
    return match_files(SourceSettings(kind="ga4", input=input_, include_intraday=True)), True


def evenly(paths: Sequence[_Named], most: int) -> list[_Named]:
    """Return some of the paths or tables, from the first to the last."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))
    return [paths[place] for place in places]


def _refuse(sample: Sample) -> None:
    """Raise UserError: the files are empty, or most records cannot be read."""
    complaints = sample.complaints.most_common(1)
    if not complaints:
        raise UserError(f"{sample.input} has no records: {sample.files} files match, and those opened are empty")
    raise UserError(f"most records of {sample.input} are not those of a {NAMES[sample.kind]}: {complaints[0][0]}")


@dataclass
class _Read:
    batches: list[tuple[str, RawBatch]]
    bytes: int


def _read(file: BinaryIO, head: bytes, path: str, layout: Layout, most_bytes: float) -> tuple[_Read, float]:
    """Return the first records of a file, and the share of the file that they are."""
    is_parquet = head.startswith(PARQUET)
    read, last = _Read([], 0), 0
    for raw in _batches(file, head, path, layout, most_bytes):
        read.batches.append((path, raw))
        before = read.bytes
        read.bytes = before + raw.columns.nbytes if is_parquet else file.tell()
        last = read.bytes - before
        if read.bytes + last / 2 > most_bytes:
            break
    return read, _share(file) if not is_parquet else _share_of_rows(file, read)


def _batches(file: BinaryIO, head: bytes, path: str, layout: Layout, most_bytes: float) -> Iterator[RawBatch]:
    block_bytes = int(min(_BLOCK_BYTES, max(most_bytes / 2, 1)))
    if layout.kind == "table":
        names = list(layout.columns)
        reader = CsvReader(names, CsvSettings(header=layout.header), block_bytes=block_bytes)
        return TableReader(names, reader, batch_rows=_BATCH_ROWS).batches(file, head, path)
    schema = schemas.GA4 if layout.kind == "ga4" else schemas.GA360
    ndjson = NdjsonReader(schema, block_bytes=block_bytes, bytes_before_compiling=math.inf)
    return ExportReader(schema, ndjson, batch_rows=_BATCH_ROWS).batches(file, head, path)


def _share(file: BinaryIO) -> float:
    """Return the share of a file's bytes that were read; of gzip, of the compressed ones."""
    packed = file.packed if isinstance(file, GzipFile) else file
    place = packed.tell()
    size = packed.seek(0, 2)
    return min(1.0, place / size) if size else 1.0


def _share_of_rows(file: BinaryIO, read: _Read) -> float:
    rows = pyarrow.parquet.ParquetFile(file).metadata.num_rows
    return sum(raw.columns.num_rows for _, raw in read.batches) / rows if rows else 1.0
