"""Rows of a sparse matrix as serialised tf.train.Example, the same bytes for the same rows on every run.

tfx_bsl's encoder and protocol buffers' own write the features of an Example in an order that changes from
process to process. Here they are sorted by name (what deterministic serialisation means by it), and a whole
block of rows is laid out at once with NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artifacts.names import INDICES, KEY, VALUES
from artifacts.sparse_rows import SparseRows

_MESSAGE_1 = b"\x0a"  # field 1, length-delimited
_MESSAGE_2 = b"\x12"
_MESSAGE_3 = b"\x1a"
_FLOAT_LIST, _INT64_LIST = _MESSAGE_2, _MESSAGE_3  # in tf.train.Feature


def encode(rows: SparseRows) -> tuple[bytes, np.ndarray]:
    """Serialize each row as a tf.train.Example with `key` int64[1], `indices` int64[n], `values` float[n].

    Returns:
        The Examples, concatenated, and the offsets at which they begin: int64[n + 1].
    """
    counts = rows.lengths
    index_lengths = _varint_lengths(rows.indices)
    index_ends = np.concatenate([[0], np.cumsum(index_lengths)])
    features = [
        _Feature(INDICES, _INT64_LIST, np.diff(index_ends[rows.indptr])),
        _Feature(KEY, _INT64_LIST, _varint_lengths(rows.keys)),
        _Feature(VALUES, _FLOAT_LIST, 4 * counts),
    ]
    body = sum(1 + _varint_lengths(feature.entry) + feature.entry for feature in features)
    begins = np.concatenate([[0], np.cumsum(1 + _varint_lengths(body) + body)])
    out = np.zeros(begins[-1], np.uint8)
    cursor = _Cursor(out, begins[:-1].copy())
    cursor.put(_MESSAGE_1)
    cursor.put_varints(body)
    for feature in features:
        cursor.put_head(feature)
        if feature.name == VALUES:
            starts = np.repeat(cursor.at - 4 * rows.indptr[:-1], counts) + 4 * np.arange(len(rows.values))
            raw = rows.values.astype("<f4", copy=False).view(np.uint8).reshape(-1, 4)
            for byte in range(4):
                out[starts + byte] = raw[:, byte]
        elif feature.name == KEY:
            _put_varints(out, cursor.at, rows.keys)
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
