"""Rows of a sparse matrix in compact form: what every solver reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse

_NONE = np.zeros(0, np.float32)


@dataclass(frozen=True)
class SparseRows:
    """Some rows of a sparse matrix.

    Attributes:
        keys: int64 [r], the index of each row in its side's table.
        indptr: int64 [r + 1]; row i has the entries indptr[i] : indptr[i + 1].
        indices: int32 [nnz], columns, ascending in a row. values: float32 [nnz].
        weights: float32 [nnz], the entries' own weights E, or empty where all are 1.
    """

    keys: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    weights: np.ndarray = field(default_factory=lambda: _NONE)

    @classmethod
    def from_matrix(cls, matrix: scipy.sparse.csr_matrix, weights: scipy.sparse.csr_matrix | None = None) -> SparseRows:
        """All rows of a CSR matrix with sorted indices; `weights` holds E at the same places."""
        own = _NONE if weights is None else weights.data.astype(np.float32, copy=False)
        return cls(
            np.arange(matrix.shape[0], dtype=np.int64),
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32, copy=False),
            matrix.data.astype(np.float32, copy=False),
            own,
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def entries(self) -> int:
        return len(self.indices)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [r], entries of each row."""
        return np.diff(self.indptr)

    def counts(self, size: int) -> np.ndarray:
        """int64 [size], entries of each key of a side."""
        counts = np.zeros(size, np.int64)
        counts[self.keys] = self.lengths
        return counts

    def transpose(self, columns: int) -> SparseRows:
        """The columns as rows; keys must be 0 .. r - 1 in order."""
        # SciPy counts instead of sorting: no int64 place for every entry, which would outweigh the entries.
        indptr = self.indptr.astype(np.int32) if self.entries <= np.iinfo(np.int32).max else self.indptr
        shape = (len(self), columns)
        turned = scipy.sparse.csr_matrix((self.values, self.indices, indptr), shape).tocsc()
        rows, starts = turned.indices.astype(np.int32, copy=False), turned.indptr.astype(np.int64)
        weights = _NONE
        if len(self.weights):
            weights = scipy.sparse.csr_matrix((self.weights, self.indices, indptr), shape).tocsc().data
        return SparseRows(np.arange(columns, dtype=np.int64), starts, rows, turned.data, weights)

    def split(self, entries: int) -> Iterator[SparseRows]:
        """Blocks of whole rows with about `entries` entries each; a longer row is a block of its own."""
        first = 0
        while first < len(self):
            limit = self.indptr[first] + entries
            last = max(first + 1, int(np.searchsorted(self.indptr, limit, side="right")) - 1)
            low, high = self.indptr[first], self.indptr[last]
            yield replace(
                self,
                keys=self.keys[first:last],
                indptr=self.indptr[first : last + 1] - low,
                indices=self.indices[low:high],
                values=self.values[low:high],
                weights=self.weights[low:high] if len(self.weights) else _NONE,
            )
            first = last

    def pieces(self, entries: int) -> Iterator[SparseRows]:
        """Like `split`, but a longer row is cut into blocks of at most `entries` that all have its key."""
        for block in self.split(entries):
            for low in range(0, max(block.entries, 1), entries):
                yield block if block.entries <= entries else block._part(low, min(low + entries, block.entries))

    def _part(self, low: int, high: int) -> SparseRows:
        """Some entries of a single row."""
        return replace(
            self,
            indptr=np.array([0, high - low], np.int64),
            indices=self.indices[low:high],
            values=self.values[low:high],
            weights=self.weights[low:high] if len(self.weights) else _NONE,
        )

    def take(self, positions: np.ndarray) -> SparseRows:
        """The rows at the given positions, in that order."""
        lengths = self.lengths[positions]
        indptr = np.zeros(len(positions) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        places = np.repeat(self.indptr[positions] - indptr[:-1], lengths) + np.arange(indptr[-1])
        weights = self.weights[places] if len(self.weights) else _NONE
        return SparseRows(self.keys[positions], indptr, self.indices[places], self.values[places], weights)

    @classmethod
    def concatenated(cls, blocks: Sequence[SparseRows]) -> SparseRows:
        """The rows of all blocks, one after the other; entries have no weights of their own."""
        blocks = [*blocks, cls(np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int32), _NONE)]
        indptr = np.append(0, np.cumsum(np.concatenate([block.lengths for block in blocks])))
        parts = ([getattr(block, name) for block in blocks] for name in ("keys", "indices", "values"))
        keys, indices, values = (np.concatenate(part) for part in parts)
        return cls(keys, indptr, indices, values)

    def at(self, keys: np.ndarray) -> SparseRows:
        """The rows with these keys, in that order; a key that is not there gives an empty row."""
        order = np.argsort(self.keys, kind="stable")
        order = np.append(order, len(self))
        padded = replace(self, keys=np.append(self.keys, -1), indptr=np.append(self.indptr, self.entries))
        places = np.searchsorted(self.keys[order[:-1]], keys)
        found = order[places]
        found[padded.keys[found] != keys] = len(self)
        return replace(padded.take(found), keys=np.asarray(keys))

    def joined(self) -> SparseRows:
        """The same sorted by key, the rows of one key joined in their order."""
        ascend = np.all(self.keys[1:] >= self.keys[:-1])
        rows = self if ascend else self.take(np.argsort(self.keys, kind="stable"))
        keys, firsts = np.unique(rows.keys, return_index=True)
        return replace(rows, keys=keys, indptr=np.append(rows.indptr[firsts], rows.entries))

    def key_of(self, entry: int) -> int:
        """The key of the row that holds an entry."""
        return int(self.keys[np.searchsorted(self.indptr, entry, side="right") - 1])
