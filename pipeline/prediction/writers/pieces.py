"""Text put together from pieces, for a block of answers at once: Arrow gathers them, and Python sees no line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa


def as_pieces(texts: Sequence[bytes]) -> pa.LargeBinaryArray:
    return pa.array(texts, pa.large_binary())


def quoted(ids: Sequence[bytes]) -> pa.LargeBinaryArray:
    """Ids (UTF-8) as JSON writes them."""
    if not ids:
        return as_pieces([])
    # A quote within an id stands behind a backslash, so that `","` is found between two of them alone.
    texts = orjson.dumps([name.decode() for name in ids])[2:-2].split(b'","')
    return as_pieces([b'"%s"' % text for text in texts])


def digits(values: np.ndarray) -> pa.LargeBinaryArray:
    """The fewest digits of each float32 [n] that give the same number again; infinities are null."""
    if not len(values):
        return as_pieces([])
    text = np.frombuffer(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)[1:-1]
    commas = text == ord(",")
    ends = np.append(np.flatnonzero(commas), len(text)) - np.arange(len(values))
    return _array(np.concatenate([[0], ends]), pa.py_buffer(text[~commas]))


class Pool:
    """Pieces by number; EMPTY is one of no bytes."""

    EMPTY = 0

    def __init__(self) -> None:
        self._arrays, self._size = [as_pieces([b""])], 1

    def add(self, pieces: pa.LargeBinaryArray) -> np.ndarray:
        """The numbers of pieces, int64 [n]."""
        first = self._size
        self._arrays.append(pieces)
        self._size += len(pieces)
        return np.arange(first, self._size)

    def one(self, text: bytes) -> int:
        """The number of one piece."""
        return int(self.add(as_pieces([text]))[0])

    def join(self, numbers: np.ndarray) -> pa.LargeBinaryArray:
        """[n] texts, each the pieces of a row of int64 [n, w] one after the other."""
        found = pa.concat_arrays(self._arrays).take(pa.array(numbers.ravel()))
        _, ends, data = found.buffers()
        offsets = np.frombuffer(ends, np.int64)[found.offset : found.offset + len(found) + 1]
        return _array(offsets[:: numbers.shape[1]], data)


def in_a_row(pieces: Sequence[np.ndarray | int], there: np.ndarray) -> np.ndarray:
    """The numbers of the pieces of lists: int64 [..., K * w] of w columns, each int64 [..., K] or one for all.

    there: bool [..., K], which entries a list has.
    """
    columns = [np.where(there, column, Pool.EMPTY) for column in pieces]
    return np.stack(columns, axis=-1).reshape(*there.shape[:-1], there.shape[-1] * len(columns))


def _array(offsets: np.ndarray, data: pa.Buffer) -> pa.LargeBinaryArray:
    ends = pa.py_buffer(np.ascontiguousarray(offsets, np.int64))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, [None, ends, data])
