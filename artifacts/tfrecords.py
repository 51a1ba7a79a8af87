"""TFRecord files of a dataset's rows, read and written by columns, without TensorFlow.

A record is framed as TFRecord does it: the length (uint64), its masked CRC-32C, the bytes, their masked
CRC-32C, little-endian. The Examples are decoded by tfx_bsl, in C++.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
from tfx_bsl.coders import example_coder

from artifacts.checksums import crc32c
from artifacts.names import INDICES, KEY, VALUES
from artifacts.sparse_rows import SparseRows
from artifacts.storage import open_to_read
from configs.errors import UserError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<QI")
_PIECE = 1 << 22  # bytes read at once
_RECORD_LIMIT = 1 << 31  # a protocol buffer cannot be longer, so a longer one is a damaged length


def frame(data: bytes, begins: Sequence[int]) -> bytes:
    """Return the bytes of a TFRecord file with the records that `data` contains, one after the other."""
    records = [data[begin:end] for begin, end in itertools.pairwise(begins)]
    lengths, place_of = np.unique(np.diff(begins), return_inverse=True)
    heads = [_head(length) for length in lengths.tolist()]
    pieces: list[bytes] = [b""] * (3 * len(records))
    pieces[::3] = [heads[place] for place in place_of.tolist()]
    pieces[1::3] = records
    crcs = np.fromiter(map(crc32c, records), np.uint32, len(records))
    tails = _mask(crcs).astype("<u4").tobytes()
    pieces[2::3] = [tails[at : at + _CRC.size] for at in range(0, len(tails), _CRC.size)]
    return b"".join(pieces)


@lru_cache(maxsize=1 << 14)  # rows of a few entries have few lengths
def _head(length: int) -> bytes:
    packed = _LENGTH.pack(length)
    return packed + _CRC.pack(_masked_crc(packed))


def _mask(crcs: np.ndarray) -> np.ndarray:
    """Return checksums uint32[n] as TFRecord stores them."""
    return (crcs >> 15 | crcs << 17) + np.uint32(0xA282EAD8)


def read_row_batches(path: str, batch_size: int = 8192) -> Iterator[SparseRows]:
    """Yield the rows of a file, `batch_size` records at a time, the pieces of a long row joined; `.gz` is unpacked.

    Raises:
        UserError: the file is missing, truncated or damaged, naming the record.
    """
    pending: SparseRows | None = None  # its last row may continue in the next batch
    for rows in _read_record_batches(path, batch_size):
        if pending is not None and rows.keys[0] == pending.keys[-1]:
            more = int(np.argmin(np.append(rows.keys == rows.keys[0], False)))
            pending, rows = SparseRows.concatenated([pending, rows.between(0, more)]), rows.between(more, len(rows))
        if len(rows):
            if pending is not None:
                yield pending.neighbours_joined()
            pending = rows
    if pending is not None:
        yield pending.neighbours_joined()


def _read_record_batches(path: str, batch_size: int) -> Iterator[SparseRows]:
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    records = read_records(path)
    while batch := list(itertools.islice(records, batch_size)):
        yield _decode(decoder, batch, path)


def read_rows(path: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the rows of a file: key, indices int64[n], values float32[n]."""
    for rows in read_row_batches(path):
        for row, key in enumerate(rows.keys.tolist()):
            entries = slice(rows.indptr[row], rows.indptr[row + 1])
            yield key, rows.indices[entries], rows.values[entries]


def read_records(path: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file and check their checksums.

    Raises:
        UserError: the file is missing, truncated or damaged, naming the record.
    """
    number = 0
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_to_read(path))
            if path.endswith(".gz"):
                file = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=file)))
            for record in _unframed(file):
                number += 1
                yield record
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}, record {number + 1}: {error}; make the dataset again") from error


def _unframed(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records of an open file, read in large pieces: one call per part of a record took most of the time."""
    data = b""
    while piece := file.read(_PIECE):
        data += piece
        at, end = 0, len(data)
        while at + _HEAD.size <= end:
            (length,) = _LENGTH.unpack_from(data, at)
            begin = at + _HEAD.size
            # Before it is waited for: a damaged length may be any number.
            if length > _RECORD_LIMIT or data[at:begin] != _head(length):
                raise ValueError("the length's checksum does not match")
            stop = begin + length
            if stop + _CRC.size > end:
                break
            record = data[begin:stop]
            if _masked_crc(record) != _CRC.unpack_from(data, stop)[0]:
                raise ValueError("the checksum does not match")
            yield record
            at = stop + _CRC.size
        data = data[at:]
    if data:
        raise ValueError("the file ends within a record")


def _decode(decoder: example_coder.ExamplesToRecordBatchDecoder, batch: list[bytes], path: str) -> SparseRows:
    columns = decoder.DecodeBatch(batch)
    try:
        keys = columns.column(KEY)
    except KeyError:
        raise UserError(f"{path} contains no rows of a dataset (no feature `{KEY}`); check the path") from None
    if INDICES not in columns.schema.names:
        return replace(SparseRows.empty(len(batch)), keys=_flat(keys))
    indices, values = columns.column(INDICES), columns.column(VALUES)
    if not indices.value_lengths().equals(values.value_lengths()):
        raise UserError(f"{path}: a row must have as many values as indices; make the dataset again")
    indptr = np.append(0, np.cumsum(indices.value_lengths().fill_null(0), dtype=np.int64))
    return SparseRows(_flat(keys), indptr, _flat(indices), _flat(values))


def _flat(column: pa.LargeListArray) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False)


def _masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
