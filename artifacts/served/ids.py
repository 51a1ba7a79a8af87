"""Ids of millions of rows, looked up in files that processes share: no id becomes a Python object until it is asked.

The vocabulary's own file has the bytes; two arrays have where each id begins, and the order of the ids by their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NONE = -1  # the index of an id that is not there


@dataclass(frozen=True)
class IdTable:
    """The ids of n rows. They are compared with their line ends, which no id contains."""

    text: np.ndarray  # uint8, the vocabulary's file: ids, each with a line end
    starts: np.ndarray  # int64 [n + 1], where each id begins
    order: np.ndarray  # int32 [n], the rows by the bytes of their lines

    @classmethod
    def of(cls, text: np.ndarray) -> IdTable:
        """Return the table of a vocabulary's bytes."""
        starts = np.append(0, np.flatnonzero(text == ord("\n")) + 1).astype(np.int64)
        buffers = [None, pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(text))]
        lines = pa.Array.from_buffers(pa.large_binary(), len(starts) - 1, buffers)
        return cls(text, starts, pc.array_sort_indices(lines).to_numpy().astype(np.int32))

    def __len__(self) -> int:
        return len(self.order)

    def indices(self, names: np.ndarray) -> np.ndarray:
        """Return the rows int64 [...] of ids object [...]; -1 for an id that is not there."""
        flat = names.ravel().tolist()
        bounds = np.cumsum([0, *(len(name) + 1 for name in flat)])
        wanted = np.frombuffer(b"".join(name + b"\n" for name in flat), np.uint8)
        return _find(wanted, bounds, self.text, self.starts, self.order).reshape(names.shape)

    def ids(self, indices: np.ndarray) -> np.ndarray:
        """Return the ids object [...] of rows int64 [...]; empty for -1."""
        names = np.empty(indices.size, object)
        for place, index in enumerate(indices.ravel().tolist()):
            names[place] = self.text[self.starts[index] : self.starts[index + 1] - 1].tobytes() if index >= 0 else b""
        return names.reshape(indices.shape)


@numba.njit(cache=True, nogil=True)
def _find(wanted, bounds, text, starts, order):
    """Return the row of each id wanted[bounds[i]:bounds[i + 1]], by binary search."""
    rows = np.empty(len(bounds) - 1, np.int64)
    for i in range(len(rows)):
        low, high, rows[i] = 0, len(order), NONE
        while low < high:
            middle = (low + high) // 2
            row = order[middle]
            compared = _compare(text, starts[row], starts[row + 1], wanted, bounds[i], bounds[i + 1])
            if compared == 0:
                rows[i] = row
                break
            if compared < 0:
                low = middle + 1
            else:
                high = middle
    return rows


@numba.njit(cache=True, nogil=True)
def _compare(one, first, last, other, other_first, other_last):
    """Return a number below, at or above 0, as one id's bytes come before those of the other, are them, or after."""
    for place in range(min(last - first, other_last - other_first)):
        difference = np.int64(one[first + place]) - np.int64(other[other_first + place])
        if difference != 0:
            return difference
    return (last - first) - (other_last - other_first)
