"""TFRecord files of a dataset's rows, read and written by columns, without TensorFlow.

A record is framed as TFRecord does it: the length (uint64), its masked CRC-32C, the bytes, their masked
CRC-32C, little-endian. The Examples are decoded by tfx_bsl, in C++.

They are encoded here: tfx_bsl and protocol buffers write the features of an Example in an order that changes from
process to process. Here they are sorted by name (what deterministic serialisation means by it), and a whole block of
rows is laid out at once with NumPy.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
from tfx_bsl.coders import example_coder

from artifacts.checksums import crc32c
from artifacts.names import AGAIN, ID, INDICES, KEY, VALUES, WEIGHTS
from artifacts.sparse_rows import SparseRows
from artifacts.storage import open_to_read
from configs.errors import UserError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<QI")
_PIECE = 1 << 22  # bytes read at once
_RECORD_LIMIT = 1 << 31  # a protocol buffer cannot be longer, so a longer one is a damaged length
_MESSAGE_1 = b"\x0a"  # field 1, length-delimited
_MESSAGE_2 = b"\x12"
_MESSAGE_3 = b"\x1a"
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = _MESSAGE_1, _MESSAGE_2, _MESSAGE_3  # in tf.train.Feature


def frame(data: bytes, begins: Sequence[int]) -> bytes:
    """Return the bytes of a TFRecord file with the records that `data` contains, one after the other."""
    records = [data[begin:end] for begin, end in itertools.pairwise(begins)]
    lengths, place_of = np.unique(np.diff(begins), return_inverse=True)
    heads = [_head(length) for length in lengths.tolist()]
    pieces: list[bytes] = [b""] * (3 * len(records))
    pieces[::3] = [heads[place] for place in place_of.tolist()]
    pieces[1::3] = records
    crcs = np.fromiter(map(crc32c, records), np.uint64, len(records))
    tails = _masked(crcs).astype("<u4").tobytes()
    pieces[2::3] = [tails[at : at + _CRC.size] for at in range(0, len(tails), _CRC.size)]
    return b"".join(pieces)


@lru_cache(maxsize=1 << 14)  # rows of a few entries have few lengths
def _head(length: int) -> bytes:
    packed = _LENGTH.pack(length)
    return packed + _CRC.pack(_masked(crc32c(packed)))


def _masked(crc: Any) -> Any:
    """Return a checksum, or uint64[n] of them, as TFRecord stores it."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_row_batches(path: str, batch_size: int = 8192) -> Iterator[SparseRows]:
    """Yield the rows of a file, `batch_size` records at a time, the pieces of a long row joined; `.gz` is unpacked.

    Raise UserError, naming the record, if the file is missing, truncated or damaged.
    """
    pending: SparseRows | None = None  # its last row may continue in the next batch
    decoder, records = example_coder.ExamplesToRecordBatchDecoder(), read_records(path)
    while batch := list(itertools.islice(records, batch_size)):
        rows = _decode(decoder, batch, path)
        if pending is not None and rows.keys[0] == pending.keys[-1]:
            more = int(np.argmin(np.append(rows.keys == rows.keys[0], False)))
            pending, rows = SparseRows.concatenated([pending, rows.between(0, more)]), rows.between(more, len(rows))
        if len(rows):
            if pending is not None:
                yield pending.neighbours_joined()
            pending = rows
    if pending is not None:
        yield pending.neighbours_joined()


def read_rows(path: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the rows of a file: key, indices int64[n], values float32[n]."""
    for rows in read_row_batches(path):
        for row, key in enumerate(rows.keys.tolist()):
            entries = slice(rows.indptr[row], rows.indptr[row + 1])
            yield key, rows.indices[entries], rows.values[entries]


def read_ids(path: str, batch_size: int = 8192) -> Iterator[tuple[int, bytes]]:
    """Yield the key and the id of each row of a file; raise UserError if a row has none, or as `read_row_batches`."""
    decoder, records = example_coder.ExamplesToRecordBatchDecoder(), read_records(path)
    while batch := list(itertools.islice(records, batch_size)):
        columns = decoder.DecodeBatch(batch)
        if not {KEY, ID} <= {*columns.schema.names}:
            raise UserError(f"{path} contains rows without an id; make the dataset again")
        yield from zip(*(columns.column(name).flatten().to_pylist() for name in (KEY, ID)), strict=True)


def read_records(path: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file, as bytes whose checksums were right; raises as `read_row_batches`."""
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
        raise UserError(f"{path} is damaged, record {number + 1}: {error}; make the dataset again") from error


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
            if _masked(crc32c(record)) != _CRC.unpack_from(data, stop)[0]:
                raise ValueError("the checksum does not match")
            yield record
            at = stop + _CRC.size
        data = data[at:]
    if data:
        raise ValueError("the file ends within a record")


def _decode(decoder: example_coder.ExamplesToRecordBatchDecoder, batch: list[bytes], path: str) -> SparseRows:
    try:
        columns = decoder.DecodeBatch(batch)
        keys = columns.column(KEY)
    except KeyError:
        raise UserError(f"{path} contains no rows of a dataset (no feature `{KEY}`); check the path") from None
    except RuntimeError:
        raise UserError(f"{path} is damaged or does not contain rows; make the dataset again") from None
    if INDICES not in columns.schema.names:
        return replace(SparseRows.empty(len(batch)), keys=_flat(keys))
    indices, values = columns.column(INDICES), columns.column(VALUES)
    if not indices.value_lengths().equals(values.value_lengths()):
        raise UserError(f"{path}: a row has more or fewer values than indices; make the dataset again")
    indptr = np.append(0, np.cumsum(indices.value_lengths().fill_null(0), dtype=np.int64))
    weights = _flat(columns.column(WEIGHTS)) if WEIGHTS in columns.schema.names else np.zeros(0, np.float32)
    if len(weights) not in (0, indptr[-1]):
        raise UserError(f"{path}: a row has more or fewer weights than indices; make the dataset again")
    again = _flat(columns.column(AGAIN)).astype(bool) if AGAIN in columns.schema.names else np.zeros(0, bool)
    if len(again) not in (0, indptr[-1]):
        raise UserError(f"{path}: a row has more or fewer of `{AGAIN}` than indices; make the dataset again")
    return SparseRows(_flat(keys), indptr, _flat(indices), _flat(values), weights, again)


def _flat(column: pa.LargeListArray) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False)


def encode(rows: SparseRows, ids: Sequence[bytes] | None = None) -> tuple[bytes, np.ndarray]:
    """Return each row as a tf.train.Example, concatenated, and the offsets at which they begin, int64[n + 1].

    Features: `key` int64[1], `indices` int64[n], `values` float[n]; `weights` float[n] if the entries have some; first,
    if some may be recommended again, `again` int64[n], 1 for such an entry; and, if given, the row's `id` bytes[1].
    """
    counts = rows.lengths
    index_lengths = _varint_lengths(rows.indices)
    index_ends = np.concatenate([[0], np.cumsum(index_lengths)])
    features = [
        _Feature(INDICES, _INT64_LIST, np.diff(index_ends[rows.indptr])),
        _Feature(KEY, _INT64_LIST, _varint_lengths(rows.keys)),
        _Feature(VALUES, _FLOAT_LIST, 4 * counts),
    ]
    floats = {VALUES: rows.values}
    if len(rows.weights):
        features.append(_Feature(WEIGHTS, _FLOAT_LIST, 4 * counts))
        floats[WEIGHTS] = rows.weights
    if len(rows.again):
        features.insert(0, _Feature(AGAIN, _INT64_LIST, counts))
    if ids is not None:  # its one value has the layout of a packed list, and is not empty
        features.insert(0, _Feature(ID, _BYTES_LIST, np.fromiter(map(len, ids), np.int64, len(rows))))
    body = sum(1 + _varint_lengths(feature.entry) + feature.entry for feature in features)
    begins = np.concatenate([[0], np.cumsum(1 + _varint_lengths(body) + body)])
    out = np.zeros(begins[-1], np.uint8)
    cursor = _Cursor(out, begins[:-1].copy())
    cursor.put(_MESSAGE_1)
    cursor.put_varints(body)
    for feature in features:
        cursor.put_head(feature)
        if feature.name in floats:
            starts = np.repeat(cursor.at - 4 * rows.indptr[:-1], counts) + 4 * np.arange(rows.entries)
            raw = floats[feature.name].astype("<f4", copy=False).view(np.uint8).reshape(-1, 4)
            for byte in range(4):
                out[starts + byte] = raw[:, byte]
        elif feature.name == KEY:
            _put_varints(out, cursor.at, rows.keys)
        elif feature.name == AGAIN:
            starts = np.repeat(cursor.at - rows.indptr[:-1], counts) + np.arange(rows.entries)
            out[starts] = rows.again
        elif feature.name == ID:
            starts = np.repeat(cursor.at - np.cumsum(feature.payload) + feature.payload, feature.payload)
            out[starts + np.arange(len(starts))] = np.frombuffer(b"".join(ids or ()), np.uint8)
        else:
            starts = np.repeat(cursor.at - index_ends[rows.indptr[:-1]], counts) + index_ends[:-1]
            _put_varints(out, starts, rows.indices)
        cursor.at += feature.payload
    return out.tobytes(), begins


class _Feature:
    """One entry of the map in tf.train.Features, as sizes in bytes: int64[rows]."""

    def __init__(self, name: str, kind: bytes, payload: np.ndarray):
        self.name, self.kind, self.payload = name, kind, payload
        full = payload > 0
        self.list = np.where(full, 1 + _varint_lengths(payload) + payload, 0)
        self.value = 1 + _varint_lengths(self.list) + self.list
        self.entry = 2 + len(name) + 1 + _varint_lengths(self.value) + self.value


@dataclass
class _Cursor:
    """A write position in every row, advanced for all rows at once."""

    out: np.ndarray
    at: np.ndarray

    def put(self, data: bytes, where: np.ndarray | slice = slice(None)) -> None:
        for byte in data:
            self.out[self.at[where]] = byte
            self.at[where] += 1

    def put_varints(self, values: np.ndarray, where: np.ndarray | slice = slice(None)) -> None:
        _put_varints(self.out, self.at[where], values[where])
        self.at[where] += _varint_lengths(values[where])

    def put_head(self, feature: _Feature) -> None:
        """Write everything of a feature except the bytes of its list."""
        self.put(_MESSAGE_1)
        self.put_varints(feature.entry)
        self.put(_MESSAGE_1 + bytes([len(feature.name)]) + feature.name.encode())
        self.put(_MESSAGE_2)
        self.put_varints(feature.value)
        self.put(feature.kind)
        self.put_varints(feature.list)
        full = np.flatnonzero(feature.payload)
        self.put(_MESSAGE_1, full)
        self.put_varints(feature.payload, full)


def _varint_lengths(values: np.ndarray) -> np.ndarray:
    """Return the number of bytes of each value as a varint, 7 bits per byte."""
    lengths = np.ones(len(values), np.int64)
    limit, greatest = 1 << 7, int(values.max(initial=0))
    while limit <= greatest:
        lengths += values >= limit
        limit <<= 7
    return lengths


def _put_varints(out: np.ndarray, starts: np.ndarray, values: np.ndarray) -> None:
    """Write each value as a varint at its offset; the values are not negative."""
    byte = 0
    while len(values):
        more = values >= 128
        out[starts + byte] = (values & 0x7F) | (more.astype(np.int64) << 7)
        starts, values = starts[more], values[more] >> 7
        byte += 1
