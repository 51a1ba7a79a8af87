"""Rows of a sparse matrix in compact form, which files contain and every solver and every ranking reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse

_NO_WEIGHTS = np.zeros(0, np.float32)
_NO_MARKS = np.zeros(0, bool)


@dataclass(frozen=True)
class SparseRows:
    """Some rows of a sparse matrix."""

    keys: np.ndarray  # int64 [r], the index of each row in its side's table
    indptr: np.ndarray  # int64 [r + 1]; row i has the entries indptr[i] : indptr[i + 1]
    indices: np.ndarray  # int32 [nnz] (int64 as a file has them), columns, ascending in a row
    values: np.ndarray  # float32 [nnz]
    weights: np.ndarray = field(default_factory=lambda: _NO_WEIGHTS)  # float32 [nnz], E, or empty if all are 1
    # bool [nnz], whether the entry may be recommended to its user again, or empty if none may
    again: np.ndarray = field(default_factory=lambda: _NO_MARKS)

    @classmethod
    def from_matrix(cls, matrix: scipy.sparse.csr_matrix, weights: scipy.sparse.csr_matrix | None = None) -> SparseRows:
        """Return all rows of a CSR matrix; `weights` is E, with entries at the same positions."""
        if not matrix.has_sorted_indices:  # such as a product of two
            matrix = matrix.sorted_indices()
        if weights is not None and not weights.has_sorted_indices:
            weights = weights.sorted_indices()
        return cls(
            np.arange(matrix.shape[0], dtype=np.int64),
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32, copy=False),
            matrix.data.astype(np.float32, copy=False),
            _NO_WEIGHTS if weights is None else weights.data.astype(np.float32, copy=False),
        )

    @classmethod
    def empty(cls, rows: int) -> SparseRows:
        """Return rows 0 .. rows - 1 without entries."""
        return cls(np.arange(rows, dtype=np.int64), np.zeros(rows + 1, np.int64), np.zeros(0, np.int32), _NO_WEIGHTS)

    @classmethod
    def single(cls, columns: np.ndarray) -> SparseRows:
        """Return rows 0 .. r - 1 of one entry each, of value 1, in the columns int [r]."""
        numbers = np.arange(len(columns) + 1, dtype=np.int64)
        return cls(numbers[:-1], numbers, columns.astype(np.int32), np.ones(len(columns), np.float32))

    @classmethod
    def concatenated(cls, blocks: Sequence[SparseRows]) -> SparseRows:
        """Return the rows of all blocks, one after the other."""
        blocks = [*blocks, cls.empty(0)]
        indptr = np.append(0, np.cumsum(np.concatenate([block.lengths for block in blocks])))
        columns = ([getattr(block, name) for block in blocks] for name in ("keys", "indices", "values"))
        keys, indices, values = (np.concatenate(column) for column in columns)
        return cls(keys, indptr, indices, values, cls._weights_of(blocks), cls._marks_of(blocks))

    @classmethod
    def stacked(cls, blocks: Sequence[SparseRows], size: int) -> SparseRows:
        """Return all rows of a side, keyed 0 .. size - 1 in order; each key is in one block, or its row is empty."""
        lengths = np.zeros(size, np.int64)
        for block in blocks:
            lengths[block.keys] = block.lengths
        indptr = np.append(0, np.cumsum(lengths))
        indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        optional, given = [cls._weights_of(blocks), cls._marks_of(blocks)], 0
        stacked = [np.empty_like(column) for column in optional]
        for block in blocks:
            entries = np.repeat(indptr[block.keys] - block.indptr[:-1], block.lengths) + np.arange(block.entries)
            indices[entries], values[entries] = block.indices, block.values
            for column, source in zip(stacked, optional, strict=True):
                if len(source):
                    column[entries] = source[given : given + block.entries]
            given += block.entries
        return cls(np.arange(size, dtype=np.int64), indptr, indices, values, *stacked)

    @staticmethod
    def _weights_of(blocks: Sequence[SparseRows]) -> np.ndarray:
        """Return the weights of all entries, one block after the other; empty if no block has any."""
        if not any(len(block.weights) for block in blocks):
            return _NO_WEIGHTS
        return np.concatenate([block.entry_weights for block in blocks])

    @staticmethod
    def _marks_of(blocks: Sequence[SparseRows]) -> np.ndarray:
        """Return `again` of all entries, one block after the other; empty if no block has any."""
        if not any(len(block.again) for block in blocks):
            return _NO_MARKS
        return np.concatenate([block.again if len(block.again) else np.zeros(block.entries, bool) for block in blocks])

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def entries(self) -> int:
        """Number of entries in all rows."""
        return len(self.indices)

    @property
    def entry_weights(self) -> np.ndarray:
        """float32 [nnz], E; ones if the entries have no weights of their own."""
        return self.weights if len(self.weights) else np.ones(self.entries, np.float32)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [r], entries of each row."""
        return np.diff(self.indptr)

    def counts(self, size: int) -> np.ndarray:
        """Return int64 [size], the entries of each key of a side."""
        counts = np.zeros(size, np.int64)
        counts[self.keys] = self.lengths
        return counts

    def unordered_entry(self) -> int | None:
        """Return the first entry whose column is not above that of the entry before it in its row; None if all are."""
        falls = np.flatnonzero(np.diff(self.indices) <= 0) + 1
        falls = falls[self.indptr[np.searchsorted(self.indptr, falls)] != falls]  # a row may begin below the last one
        return int(falls[0]) if len(falls) else None

    def key_of(self, entry: int) -> int:
        """Return the key of the row that contains an entry."""
        return int(self.keys[np.searchsorted(self.indptr, entry, side="right") - 1])

    def transpose(self, columns: int) -> SparseRows:
        """Return the columns as rows, without `again`, which is about users; keys must be 0 .. r - 1 in order."""
        # SciPy counts instead of sorting, which would need an int64 for every entry: more memory than the entries.
        indptr = self.indptr.astype(np.int32) if self.entries <= np.iinfo(np.int32).max else self.indptr

        def turn(data: np.ndarray) -> scipy.sparse.csc_matrix:
            return scipy.sparse.csr_matrix((data, self.indices, indptr), (len(self), columns)).tocsc()

        weights = turn(self.weights).data if len(self.weights) else _NO_WEIGHTS
        return replace(SparseRows.from_matrix(turn(self.values).T), weights=weights)

    def between(self, first: int, last: int) -> SparseRows:
        """Return the rows at the positions first .. last - 1, as views."""
        low, high = self.indptr[first], self.indptr[last]
        return self._entries(low, high, self.keys[first:last], self.indptr[first : last + 1] - low)

    def split(self, entries: int) -> Iterator[SparseRows]:
        """Yield blocks of whole rows with about `entries` entries each; a longer row is a block of its own."""
        first = 0
        while first < len(self):
            limit = self.indptr[first] + entries
            last = max(first + 1, int(np.searchsorted(self.indptr, limit, side="right")) - 1)
            yield self.between(first, last)
            first = last

    def pieces(self, entries: int) -> Iterator[SparseRows]:
        """Yield blocks like `split`, but cut a longer row into blocks of at most `entries` that all have its key."""
        for block in self.split(entries):
            if block.entries <= entries:
                yield block
                continue
            for low in range(0, block.entries, entries):
                high = min(low + entries, block.entries)
                yield block._entries(low, high, block.keys, np.array([0, high - low], np.int64))

    def _entries(self, low: int, high: int, keys: np.ndarray, indptr: np.ndarray) -> SparseRows:
        """Return rows of the entries low .. high - 1, as views."""
        columns = (column[low:high] for column in (self.indices, self.values, self.weights, self.again))
        return SparseRows(keys, indptr, *columns)

    def take(self, positions: np.ndarray) -> SparseRows:
        """Return the rows at the given positions, in that order."""
        lengths = self.lengths[positions]
        indptr = np.append(0, np.cumsum(lengths))
        entries = np.repeat(self.indptr[positions] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return self._chosen(entries, self.keys[positions], indptr)

    def at(self, keys: np.ndarray) -> SparseRows:
        """Return the rows with these keys, in that order; an empty row for a key that is not there."""
        order = np.append(np.argsort(self.keys, kind="stable"), len(self))
        padded = replace(self, keys=np.append(self.keys, -1), indptr=np.append(self.indptr, self.entries))
        positions = order[np.searchsorted(self.keys[order[:-1]], keys)]
        positions[padded.keys[positions] != keys] = len(self)
        return replace(padded.take(positions), keys=np.asarray(keys))

    def joined(self) -> SparseRows:
        """Return the rows sorted by key, with the rows of one key joined in their order."""
        ascend = np.all(self.keys[1:] >= self.keys[:-1])
        rows = self if ascend else self.take(np.argsort(self.keys, kind="stable"))
        return rows.neighbours_joined()

    def neighbours_joined(self) -> SparseRows:
        """Return the rows with adjacent rows of one key joined."""
        firsts = np.flatnonzero(np.diff(self.keys, prepend=self.keys[:1] - 1))
        return replace(self, keys=self.keys[firsts], indptr=np.append(self.indptr[firsts], self.entries))

    def cut(self, most: int) -> SparseRows:
        """Return the same entries in rows of at most `most` entries; a longer row becomes several rows of its key."""
        pieces = np.maximum(-(-self.lengths // most), 1)
        nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(self.indptr[:-1], pieces) + most * nth
        return replace(self, keys=np.repeat(self.keys, pieces), indptr=np.append(starts, self.entries))

    def renumbered(self, new: np.ndarray) -> SparseRows:
        """Return the rows with new[i] in place of each column i, without the entries for which it is -1."""
        columns = new[self.indices]
        kept = columns >= 0
        return replace(self.keep(kept), indices=columns[kept].astype(np.int32))

    def keep(self, kept: np.ndarray) -> SparseRows:
        """Return the same rows with only some of their entries, bool [nnz]."""
        return self._chosen(kept, self.keys, np.append(0, np.cumsum(kept))[self.indptr])

    def left_out(self) -> SparseRows:
        """Return what a user's recommendations leave out: the entries that may not be recommended again."""
        return self.keep(~self.again) if len(self.again) else self

    def _chosen(self, entries: np.ndarray, keys: np.ndarray, indptr: np.ndarray) -> SparseRows:
        """Return rows of the chosen entries: their positions, or bool [nnz]."""
        optional = (column[entries] if len(column) else column for column in (self.weights, self.again))
        return SparseRows(keys, indptr, self.indices[entries], self.values[entries], *optional)
