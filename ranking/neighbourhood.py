"""The neighbourhood: what the items of a visitor say about other items directly, next to the factors.

    score(u, j) = u . v_j + gamma / sqrt(n) * sum of B_ij over the visitor's n items i

or gamma alone in place of gamma / sqrt(n); Koren (2008) has the root in his neighbourhood model. B is sparse, m x m:
row i contains the items most related to item i, and how much (`trainer.neighbourhood`).

The sum is exact. All values of B are whole multiples of one power of two, at most 2^24 of them each, so that float64
adds up to 2^29 of them without rounding, in any order: NumPy, Numba and TensorFlow have the same sum. It is multiplied
by that weight in float64, added to the float64 dot product, and the result is rounded to float32 once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse

from artifacts import factor_tables
from artifacts.paths import Model
from artifacts.sparse_rows import SparseRows
from ranking.heap import STRICT, Best
from ranking.machine import prefetch_line

_BITS = 24  # of a float32
_AHEAD, _LINES = 2, 4  # of a visitor's items: how far ahead their rows of B are prefetched, and how much of each row


@dataclass(frozen=True)
class Neighbourhood:
    """The term of a model with m items."""

    related: SparseRows  # B: m rows by itemId, the related items, and the values float32 that `on_a_grid` returns
    gamma: float  # the weight of the term, at least 0
    few_items: bool = False  # gamma / sqrt(n) is the weight of a visitor with n items

    @classmethod
    def read(cls, model: Model, items: int, gamma: float, few_items: bool) -> Neighbourhood | None:
        """Return the term of a model with m items, None if its weight is 0.

        Raises:
            UserError: its matrix is missing or damaged.
        """
        return cls(factor_tables.read_related(model.related_items, items), gamma, few_items) if gamma else None

    def renumbered(self, new: np.ndarray) -> Neighbourhood:
        """Return the term over a part of the items as answers: new[j] in place of item j, -1 to leave it out."""
        return replace(self, related=self.related.renumbered(new))

    def weights(self, counts: np.ndarray) -> np.ndarray:
        """Return the weights float64 [b] of visitors with int [b] items; they are the same in any library."""
        if not self.few_items:
            return np.full(len(counts), self.gamma)
        return self.gamma / np.sqrt(np.maximum(counts, 1).astype(np.float64))

    def contributions(self, items: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the weight times B_ij, float64 [w, n], for a visitor's items i int [n] and w others j int [w]."""
        rows, table = self.related.take(items), np.zeros((len(wanted), len(items)))
        owners = np.repeat(np.arange(len(items)), rows.lengths)
        for row, item in enumerate(wanted):
            same = rows.indices == item
            table[row, owners[same]] = rows.values[same]
        return self.weights(np.array([len(items)])) * table


@dataclass(frozen=True)
class Term:
    """A neighbourhood and the rows of b visitors: what each of them has."""

    neighbourhood: Neighbourhood
    histories: SparseRows

    def take(self, positions: np.ndarray) -> Term:
        """Return the term of some of the visitors, int64 [r]."""
        return replace(self, histories=self.histories.take(positions))

    def addends(self, rows: slice, items: int, width: int) -> Addends:
        """Return what the term adds to the scores of some visitors with all `items`, by tiles of `width` items."""
        related, histories = self.neighbourhood.related, self.histories
        starts = histories.indptr[rows.start : rows.stop + 1]
        matrix, weights = _Matrix(related.indptr, related.indices, related.values), self.neighbourhood.weights
        return Addends(*_add_up(matrix, starts, histories.indices, weights(np.diff(starts)), _Sizes(items, width)))


@dataclass(frozen=True)
class Audience:
    """The term of q items over all m, whose answers are visitors: the same sums as those of `Term`.

    Attributes:
        neighbourhood: the term.
        sources: float64 [q, m], B transposed: the items i that add B_ij to the score of each of the q items j.
    """

    neighbourhood: Neighbourhood
    sources: scipy.sparse.csr_matrix

    @classmethod
    def of(cls, neighbourhood: Neighbourhood, items: np.ndarray, unknown: int) -> Audience:
        """Return the term of some items int64 [q'], and of `unknown` more, to which nothing is added."""
        related, size = neighbourhood.related, len(neighbourhood.related)
        matrix = as_matrix(related, size, related.values).T.tocsr()[items]
        nothing = scipy.sparse.csr_matrix((unknown, size))
        return cls(neighbourhood, scipy.sparse.vstack([matrix, nothing], "csr"))

    def among(self, visitors: SparseRows, first: int, last: int) -> AmongVisitors:
        """Return the term of the items first .. last - 1 with v visitors, rows of all their items."""
        owners = as_matrix(visitors, self.sources.shape[1]).T.tocsr()
        return self._sums(self.sources[first:last], owners, visitors.lengths)

    def among_owners(self, owners: scipy.sparse.csr_matrix, counts: np.ndarray) -> AmongVisitors:
        """Return the term of all q items with v visitors.

        Args:
            owners: who has each item, float64 [m, v], ones. counts: how many items each visitor has, int [v].
        """
        return self._sums(self.sources, owners, counts)

    def _sums(
        self, sources: scipy.sparse.csr_matrix, owners: scipy.sparse.csr_matrix, counts: np.ndarray
    ) -> AmongVisitors:
        sums = sources @ owners
        sums.sort_indices()
        weights = self.neighbourhood.weights(counts)
        return AmongVisitors(sums.indptr.astype(np.int64), sums.indices, weights[sums.indices] * sums.data)


def as_matrix(rows: SparseRows, columns: int, values: np.ndarray | None = None) -> scipy.sparse.csr_matrix:
    """Return rows as a matrix float64 with these values [nnz], or ones."""
    data = np.ones(rows.entries) if values is None else values.astype(np.float64)
    return scipy.sparse.csr_matrix((data, rows.indices, rows.indptr), (len(rows), columns))


@dataclass(frozen=True)
class AmongVisitors:
    """Addends of the term to the scores of q items with v visitors.

    Attributes:
        starts: int64 [q + 1]. indices: int32 [nnz], visitors, ascending in a row. values: float64 [nnz].
    """

    starts: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    def addends(self, rows: slice, items: int, width: int) -> Addends:
        """Return the addends of some rows in tiles of `width` of the `items` visitors; see `Term`."""
        bounds, edges = [], np.arange(0, items + width, width)
        greatest = np.zeros(rows.stop - rows.start)
        for number, row in enumerate(range(rows.start, rows.stop)):
            low, high = self.starts[row], self.starts[row + 1]
            bounds.append(low + np.searchsorted(self.indices[low:high], edges))
            greatest[number] = self.values[low:high].max(initial=0)
        return Addends(np.array(bounds), self.indices, self.values, greatest)


class Addends(NamedTuple):
    """Addends to the scores of b visitors, in tiles of items; what is not listed is 0."""

    starts: np.ndarray  # int64 [b, tiles + 1]; starts[r, t] : starts[r, t + 1] are of visitor r and tile t
    indices: np.ndarray  # int32 [nnz], items, in no order within a tile
    values: np.ndarray  # float64 [nnz], above 0
    greatest: np.ndarray  # float64 [b], each visitor's greatest value; 0 without one

    @classmethod
    def none(cls, rows: int, tiles: int) -> Addends:
        """Return nothing to add, for b visitors."""
        starts = np.zeros((rows, tiles + 1), np.int64)
        return cls(starts, np.zeros(0, np.int32), np.zeros(0), np.zeros(rows))


class _Sizes(NamedTuple):
    """Items of the table, and items of a tile."""

    items: int
    width: int


class _Matrix(NamedTuple):
    """B as the kernel reads it: starts int64 [m + 1], indices int32 [nnz], values float32 [nnz]."""

    starts: np.ndarray
    indices: np.ndarray
    values: np.ndarray


@numba.njit(**STRICT)
def _add_up(matrix, starts, histories, weights, sizes):
    """Return the fields of `Addends` for the rows starts[r] : starts[r + 1] of `histories`."""
    rows, tiles = len(starts) - 1, (sizes.items + sizes.width - 1) // sizes.width
    tile_of = (np.arange(sizes.items) // sizes.width).astype(np.uint16)  # small: it is read at random
    most = _most_entries(matrix, starts, histories, sizes.items)
    bounds, indices, values = np.zeros((rows, tiles + 1), np.int64), np.empty(most, np.int32), np.empty(most)
    greatest, totals, reached = np.zeros(rows), np.zeros(sizes.items), np.empty(sizes.items + 1, np.uint32)
    free = np.empty(tiles, np.int64)  # of each tile, the position of its next entry
    for row in range(rows):
        count, ends, best = 0, bounds[row, 1:], 0.0
        for place in range(starts[row], starts[row + 1]):
            _prefetch(matrix, histories[min(place + _AHEAD, len(histories) - 1)])
            item = histories[place]
            for entry in range(matrix.starts[item], matrix.starts[item + 1]):
                other = np.uint32(matrix.indices[entry])  # without a sign, as which Numba would look for -1
                total = totals[other]
                reached[count] = other  # counts if it is new; without a branch, since no processor could predict it
                count += total == 0
                totals[other] = total + matrix.values[entry]
        for other in reached[:count]:
            ends[tile_of[other]] += 1
        bounds[row, 0] = bounds[row - 1, tiles] if row else 0
        for tile in range(tiles):
            free[tile] = bounds[row, tile]
            ends[tile] += free[tile]
        for other in reached[:count]:
            tile = tile_of[other]
            position, value = free[tile], weights[row] * totals[other]
            indices[position], values[position], totals[other] = other, value, 0
            free[tile] = position + 1
            best = max(best, value)
        greatest[row] = best
    last = bounds[rows - 1, tiles] if rows else 0
    return bounds, indices[:last], values[:last], greatest


@numba.njit(**STRICT)
def _prefetch(matrix, item):
    """Ask for the start of a row of B, which is in no cache; the processor itself continues along it."""
    for line in range(_LINES):
        at = 4 * matrix.starts[item] + 64 * line
        prefetch_line(np.int64(matrix.indices.ctypes.data) + at)
        prefetch_line(np.int64(matrix.values.ctypes.data) + at)


@numba.njit(**STRICT)
def _most_entries(matrix, starts, histories, items):
    """Return a number that the entries of all rows do not exceed."""
    most = 0
    for row in range(len(starts) - 1):
        entries = 0
        for item in histories[starts[row] : starts[row + 1]]:
            entries += matrix.starts[item + 1] - matrix.starts[item]
        most += min(entries, items)
    return most


def on_a_grid(nearest: Best, power: float = 1.0) -> SparseRows:
    """Return B from the most related items of each: their relations to a power, rounded to multiples of one number.

    That number is the power of two of which the greatest relation is less than 2^24 times as much; what rounds to 0 is
    left out.

    Args:
        nearest: m rows, relations float32 above 0.
    """
    size, kept = len(nearest.indices), nearest.indices >= 0
    values = np.where(kept, nearest.scores, 0).astype(np.float64) ** power
    unit = 2.0 ** (int(np.frexp(values.max(initial=0))[1]) - _BITS)
    values = np.rint(values / unit) * unit
    kept &= values > 0
    order = np.argsort(np.where(kept, nearest.indices, size), axis=1, kind="stable")
    rows = np.take_along_axis(kept, order, 1)
    indices, values = (np.take_along_axis(table, order, 1)[rows] for table in (nearest.indices, values))
    indptr = np.append(0, np.cumsum(kept.sum(1)))
    return SparseRows(np.arange(size), indptr, indices.astype(np.int32), values.astype(np.float32))
