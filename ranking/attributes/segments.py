"""The most popular items of each segment of visitors, such as those of one country, for visitors without views.

The popularity in a segment is the share of its visitors who have an item. The popularity of all visitors counts like
that of SHRINKAGE more visitors of the segment, so that a small segment is answered as the whole site is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from artifacts import storage
from artifacts.sparse_rows import SparseRows
from ranking import popularity

SHRINKAGE = 100  # visitors of all segments that count as much as those of a segment
_LONGEST = 1000  # items of a list


@dataclass(frozen=True)
class Segments:
    """The lists of s segments, the values of one attribute, whose features are the columns from `first` on."""

    first: int
    items: np.ndarray  # int64 [s, n], best first
    scores: np.ndarray  # float32 [s, n]

    def of(self, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Return the segment of each row of features, int64 [b]; -1 for a row whose value is missing or rare."""
        return of_rows(indptr, indices, self.first, len(self.items))

    @classmethod
    def learn(cls, views: SparseRows, segments: np.ndarray, first: int, size: int, items: int) -> Segments:
        """Return the lists of `size` segments.

        views: rows of all visitors, keyed 0 .. n - 1 in order. segments: int64 [n], -1 for none.
        """
        total, visitors = np.bincount(views.indices, minlength=items), int((views.lengths > 0).sum())
        lists, values = [], []
        for segment in range(size):
            found = scores(views, segments == segment, total, visitors)
            best = popularity.order(found)[:_LONGEST]
            lists.append(best)
            values.append(found[best])
        shape = size, min(items, _LONGEST)
        return cls(first, np.array(lists, np.int64).reshape(shape), np.array(values, np.float32).reshape(shape))

    @classmethod
    def read(cls, path: str) -> Segments:
        """Read them from a file."""
        with np.load(io.BytesIO(storage.read_bytes(path))) as arrays:
            return cls(int(arrays["first"]), arrays["items"], arrays["scores"])

    def write(self, path: str) -> None:
        """Write them to a file."""
        sink = io.BytesIO()
        np.savez(sink, first=self.first, items=self.items, scores=self.scores)
        storage.write_bytes(path, sink.getvalue())


def of_rows(indptr: np.ndarray, indices: np.ndarray, first: int, size: int) -> np.ndarray:
    """Return the column, from `first` on, of each row that has one of `size`, int64 [b]; -1 for a row without."""
    inside = (indices >= first) & (indices < first + size)
    rows = np.full(len(indptr) - 1, -1, np.int64)
    rows[np.repeat(np.arange(len(rows)), np.diff(indptr))[inside]] = indices[inside] - first
    return rows


def scores(views: SparseRows, members: np.ndarray, total: np.ndarray, visitors: int) -> np.ndarray:
    """Return the popularity of items in a segment, float32 [m].

    Args:
        views: rows of the visitors. members: bool [n], those of the segment. total: int [m], the visitors of each item.
        visitors: the number of visitors that `total` counts.
    """
    owners = np.repeat(members[views.keys], views.lengths)
    own = np.bincount(views.indices[owners], minlength=len(total))
    size = int((members[views.keys] & (views.lengths > 0)).sum())
    return ((own + SHRINKAGE * total / max(visitors, 1)) / (size + SHRINKAGE)).astype(np.float32)
