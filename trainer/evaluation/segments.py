"""Groups of visitors that are measured by themselves, beyond those by the number of items (`metrics.ACTIVITY`).

Visitors are in groups by what they have in train: by how popular the middle one of their items is, and by the category
that most of their items are of. These groups are known before anything is recommended.

Visitors are also in a group for each band of popularity, and each category, in which an item is held out. The metrics
there are those of the held-out items of that group alone, in the same lists. Such groups trade with each other: a list
with more popular items has fewer rare ones. The groups by the age of held-out items are such groups, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, DAY_MS, FIRST_TIME_MS, LAST_TIME_MS, VISITORS
from artifacts.sparse_rows import SparseRows

MOST_POPULAR, MIDDLE, RARE = "the most popular third", "the middle third", "the least popular third"
HAVE, HELD_OUT = "visitors whose items are mostly of ", "held-out items of "  # how the names of groups begin
AGED = "held-out items "  # and those by the age of the item
COLUMNS, OPTIONAL = (VISITORS,), (CATEGORY, FIRST_TIME_MS, LAST_TIME_MS)  # of items.parquet

_AGES = {"up to 7 days old": 7, "7 to 28 days old": 28, "over 28 days old": np.inf}  # at the end of train
_CATEGORIES = 20  # that are measured, those with the most visitors


class Members(NamedTuple):
    """Visitors in groups: positions int64 [r] of the visitors, groups int64 [r], and r rows of held-out items."""

    positions: np.ndarray
    groups: np.ndarray
    truth: SparseRows


@dataclass(frozen=True)
class Segments:
    """The groups of a dataset.

    Attributes:
        items: names of the groups of items: MOST_POPULAR, MIDDLE and RARE, then `category NAME`.
        of_items: by popularity and by category, the group of each item, int64 [m]; -1 for an item without one.
        ages: the group of each item by its age, int64 [m]; None if the dataset has no times, or items of one group.
    """

    items: list[str]
    of_items: list[np.ndarray]
    ages: np.ndarray | None

    @classmethod
    def of(cls, items: ItemsTable) -> Segments:
        """Return the bands of popularity, and the categories if the dataset has them.

        The bands are thirds of all pairs of train, from the item with the most visitors to the one with the fewest.
        """
        visitors, names = items.visitors, [MOST_POPULAR, MIDDLE, RARE]
        before = np.cumsum(visitors) - visitors
        of_items = [np.minimum(3 * before // max(int(visitors.sum()), 1), 2)]
        if CATEGORY in items.table.column_names:
            kinds, codes = _categories(items)
            of_items.append(np.where(codes >= 0, codes + len(names), -1))
            names += [f"{CATEGORY} {kind}" for kind in kinds]
        return cls(names, of_items, _ages(items))

    @property
    def names(self) -> list[str]:
        """All groups, in the order of their numbers: those by what a visitor has, then those by what is held out."""
        of_ages = [AGED + age for age in _AGES] if self.ages is not None else []
        return [kind + items for kind in (HAVE, HELD_OUT) for items in self.items] + of_ages

    def coverage_by_band(self, exposure: np.ndarray) -> dict[str, float]:
        """Return the share of each band's items that is recommended at all, from recommendations int [m] by item."""
        given, every = (np.bincount(self.of_items[0][chosen], minlength=3) for chosen in (exposure > 0, slice(None)))
        return {band: float(a / b) for band, a, b in zip(self.items, given, every, strict=False) if b}

    def members(self, seen: SparseRows, truth: SparseRows) -> Iterator[Members]:
        """Yield the groups of b users by each rule; seen, truth: b rows of what they have, and of what is held out."""
        size, (bands, *categories) = len(self.items), self.of_items
        has = np.flatnonzero(seen.lengths)
        middle = seen.indices[seen.indptr[has] + (seen.lengths[has] - 1) // 2]  # itemIds are in order of popularity
        yield Members(has, bands[middle], truth.take(has))
        for of_items in categories:
            cells, counts = np.unique(self._cells(seen, of_items), return_counts=True)
            cells, counts = cells[cells >= 0], counts[cells >= 0]
            order = np.lexsort((cells, -counts, cells // size))
            users, first = np.unique(cells[order] // size, return_index=True)
            yield Members(users, cells[order][first] % size, truth.take(users))
        by_age = [] if self.ages is None else [(self.ages, 2 * size)]
        for of_items, first_group in [*((of_items, size) for of_items in self.of_items), *by_age]:
            cells = self._cells(truth, of_items)
            order = np.argsort(cells, kind="stable")  # items stay in ascending order
            order = order[np.searchsorted(cells[order], 0) :]
            pairs, counts = np.unique(cells[order], return_counts=True)
            indptr = np.append(0, np.cumsum(counts))
            rows = SparseRows(np.arange(len(pairs)), indptr, truth.indices[order], truth.values[order])
            yield Members(pairs // size, first_group + pairs % size, rows)

    def _cells(self, rows: SparseRows, of_items: np.ndarray) -> np.ndarray:
        """Return user and group of each entry as one number int64 [nnz], -1 for an item without a group."""
        groups = of_items[rows.indices]
        return np.where(groups >= 0, np.repeat(np.arange(len(rows)), rows.lengths) * len(self.items) + groups, -1)


def _ages(items: ItemsTable) -> np.ndarray | None:
    """Return the place of each item in `_AGES` by the time from its first interaction to the end of train."""
    known = items.table.column_names
    if FIRST_TIME_MS not in known or LAST_TIME_MS not in known or np.isnan(items.first_time_ms).all():
        return None
    days = (np.nanmax(items.last_time_ms) - items.first_time_ms) / DAY_MS
    ages = np.where(np.isnan(days), -1, np.searchsorted(list(_AGES.values()), days))
    return ages if len(set(ages.tolist()) - {-1}) > 1 else None


def _categories(items: ItemsTable) -> tuple[list[str], np.ndarray]:
    """Return the categories with the most visitors, and the number of each item's, int64 [m]; -1 without one."""
    encoded = items.table[CATEGORY].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    kinds = encoded.dictionary.to_pylist()
    visitors = np.bincount(codes[codes >= 0], items.visitors[codes >= 0], minlength=len(kinds))
    largest = np.argsort(-visitors, kind="stable")[:_CATEGORIES]
    numbers = np.full(len(kinds) + 1, -1)
    numbers[largest] = np.arange(len(largest))
    return [kinds[code] for code in largest], numbers[codes]
