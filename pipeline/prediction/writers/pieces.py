"""Text put together from pieces for a block of answers at once: Arrow gathers the pieces, without a loop over lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa


def as_pieces(texts: Sequence[bytes]) -> pa.LargeBinaryArray:
    """Return texts as an Arrow array of pieces."""
    return pa.array(texts, pa.large_binary())


def quoted(ids: Sequence[bytes]) -> pa.LargeBinaryArray:
    """Return ids (UTF-8) as JSON strings."""
    if not ids:
        return as_pieces([])
    # A quote in an id is escaped by a backslash, so that `","` occurs only between two ids.
    texts = orjson.dumps([name.decode() for name in ids])[2:-2].split(b'","')
    return as_pieces([b'"%s"' % text for text in texts])


def digits(values: np.ndarray) -> pa.LargeBinaryArray:
    """Return the fewest digits of each float32 [n] that are read back as the same number; infinities become null."""
    if not len(values):
        return as_pieces([])
    text = np.frombuffer(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)[1:-1]
    commas = text == ord(",")
    ends = np.append(np.flatnonzero(commas), len(text)) - np.arange(len(values))
    return _array(np.concatenate([[0], ends]), pa.py_buffer(text[~commas]))


class Pool:
    """Pieces by number; EMPTY is a piece without bytes."""

    EMPTY = 0

    def __init__(self) -> None:
        self._arrays, self._size = [as_pieces([b""])], 1

    def add(self, pieces: pa.LargeBinaryArray) -> np.ndarray:
        """Add pieces, and return their numbers, int64 [n]."""
        first = self._size
        self._arrays.append(pieces)
        self._size += len(pieces)
        return np.arange(first, self._size)

    def one(self, text: bytes) -> int:
        """Add one piece, and return its number."""
        return int(self.add(as_pieces([text]))[0])

    def join(self, numbers: np.ndarray) -> pa.LargeBinaryArray:
        """Return n texts, each joined from the pieces in a row of int64 [n, w]."""
        pieces = pa.concat_arrays(self._arrays).take(pa.array(numbers.ravel()))
        _, ends, data = pieces.buffers()
        offsets = np.frombuffer(ends, np.int64)[pieces.offset : pieces.offset + len(pieces) + 1]
        return _array(offsets[:: numbers.shape[1]], data)


def in_a_row(pieces: Sequence[np.ndarray | int], filled: np.ndarray) -> np.ndarray:
    """Return the numbers of the pieces of lists, int64 [..., K * w]: w pieces for each filled entry, else EMPTY.

    Args:
        pieces: w columns of numbers, each int64 [..., K] or one number for all entries.
        filled: bool [..., K], the entries that a list has.
    """
    columns = [np.where(filled, column, Pool.EMPTY) for column in pieces]
    return np.stack(columns, axis=-1).reshape(*filled.shape[:-1], filled.shape[-1] * len(columns))


def _array(offsets: np.ndarray, data: pa.Buffer) -> pa.LargeBinaryArray:
    ends = pa.py_buffer(np.ascontiguousarray(offsets, np.int64))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, [None, ends, data])
