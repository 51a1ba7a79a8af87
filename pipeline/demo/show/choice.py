"""The choice of visitors to show, and the share of recommendations in visitors' favourite categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.demo.show.inputs import RankedItems, Row

_FEWEST, _MOST = 5, 20  # items read by a visitor whose table is easy to read
_UNKNOWN = -1


class Categories:
    """Categories of the items, by number in `names`: `of_item` int64[items], -1 where the category is unknown."""

    def __init__(self, items: Sequence[str], catalogue: Mapping[str, tuple[str, str]]) -> None:
        self._items = items
        self.names = sorted({category for _, category in catalogue.values() if category})
        numbers = {name: number for number, name in enumerate(self.names)}
        self.of_id = {item_id: numbers.get(category, _UNKNOWN) for item_id, (_, category) in catalogue.items()}
        self.of_item = np.array([self.of_id.get(item, _UNKNOWN) for item in items], np.int64)

    def favourite(self, row: Row) -> int:
        """Return the category of most of a visitor's items, of equals the one rated higher; -1 if all are unknown."""
        categories, values = self.of_item[row.indices], row.values.astype(np.float64)
        known = categories != _UNKNOWN
        if not known.any():
            return _UNKNOWN
        # Each item counts 1; all ratings together count less than 1.
        weights = 1 + values / (1 + np.abs(values).sum())
        return int(np.argmax(np.bincount(categories[known], weights[known])))

    def favourite_name(self, row: Row) -> str:
        """Return the name of the favourite category, or an empty text."""
        number = self.favourite(row)
        return "" if number == _UNKNOWN else self.names[number]

    def history(self, row: Row) -> RankedItems:
        """Return what a visitor read, best first, ties by contentId."""
        pairs = [(self._items[index], float(value)) for index, value in zip(row.indices, row.values, strict=True)]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


@dataclass
class Choice:
    """Chosen rows, and the favourite category of each key that was read."""

    rows: list[Row] = field(default_factory=list)
    favourites: dict[int, int] = field(default_factory=dict)


def choose(rows: Iterable[Row], categories: Categories, count: int, everybody: bool, candidates: int) -> Choice:
    """Choose visitors with neither few nor many items, from as many favourite categories as possible.

    Args:
        rows: the visitors. count: how many to choose.
        everybody: whether to read all rows; otherwise reading stops after enough candidates.
        candidates: how many visitors to choose from.
    """
    choice, considered = Choice(), 0
    by_category: defaultdict[int, list[Row]] = defaultdict(list)
    others: list[tuple[int, int, Row]] = []  # distance from the range, key, row
    for row in rows:
        size, favourite = len(row.indices), categories.favourite(row)
        choice.favourites[row.key] = favourite
        if considered < candidates and _FEWEST <= size <= _MOST:
            by_category[favourite].append(row.copy())
            considered += 1
        elif considered < count and size:
            others.append((max(_FEWEST - size, size - _MOST), row.key, row.copy()))
            others = sorted(others, key=lambda other: other[:2])[:count]
        if considered >= candidates and not everybody:
            break
    groups = [sorted(group, key=lambda row: row.key) for group in by_category.values()]
    choice.rows = _spread(groups, count)
    choice.rows += [row for _, _, row in others][: count - len(choice.rows)]
    return choice


def _spread(groups: list[list[Row]], count: int) -> list[Row]:
    """Take the middle row of each group in turn, the largest group first."""
    groups = sorted(groups, key=lambda rows: (-len(rows), rows[0].key))
    chosen: list[Row] = []
    while len(chosen) < count and any(groups):
        for rows in groups:
            if rows and len(chosen) < count:
                chosen.append(rows.pop(len(rows) // 2))
    return chosen


class FavouriteShare:
    """Counts recommendations in the visitors' own favourite categories."""

    def __init__(self, categories: Categories, favourites: Mapping[str, int]) -> None:
        self._categories, self._favourites = categories, favourites
        known = categories.of_item[categories.of_item != _UNKNOWN]
        self._shares = np.bincount(known, minlength=1) / max(len(categories.of_item), 1)
        self._listed, self._in_favourite, self._by_chance = 0, 0, 0.0

    def add(self, visitor: str, items: Sequence[str]) -> None:
        """Count the recommendations of one visitor."""
        favourite = self._favourites.get(visitor, _UNKNOWN)
        if favourite == _UNKNOWN or not items:
            return
        self._listed += len(items)
        self._in_favourite += sum(self._categories.of_id.get(item, _UNKNOWN) == favourite for item in items)
        self._by_chance += len(items) * float(self._shares[favourite])

    def line(self) -> str:
        """Return the result in one line; empty if nothing was counted."""
        if not self._listed:
            return ""
        return (
            f"Of all recommendations, {self._in_favourite / self._listed:.0%} are of the category the visitor reads "
            f"most; by chance {self._by_chance / self._listed:.0%}."
        )
