"""The choice of visitors to show, and the share of recommendations in visitors' favourite categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

_FEWEST, _MOST = 5, 20  # items read by a visitor whose table is easy to read
_UNKNOWN = -1


class Row(NamedTuple):
    """The items that one visitor read: indices int64[n], and the ratings, values float32[n]."""

    key: int
    indices: np.ndarray
    values: np.ndarray


class Categories:
    """Categories of the items, by number in `names`; -1 where the category is unknown."""

    def __init__(self, items: Sequence[str], catalogue: Mapping[str, tuple[str, str]]) -> None:
        self.names = sorted({category for _, category in catalogue.values() if category})
        numbers = {name: number for number, name in enumerate(self.names)}
        self._of_id = {item_id: numbers.get(category, _UNKNOWN) for item_id, (_, category) in catalogue.items()}
        self._of_item = np.array([self._of_id.get(item, _UNKNOWN) for item in items], np.int64)
        self._listed, self._in_favourite, self._by_chance = 0, 0, 0.0

    def favourite(self, row: Row) -> int:
        """Return the category of most of a visitor's items, of equals the one rated higher; -1 if all are unknown."""
        categories, values = self._of_item[row.indices], row.values.astype(np.float64)
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

    def count(self, favourite: int, items: Sequence[str]) -> None:
        """Count a visitor's recommendations that are of the visitor's favourite category, and how many chance gives."""
        if favourite != _UNKNOWN:
            self._listed += len(items)
            self._in_favourite += sum(self._of_id.get(item, _UNKNOWN) == favourite for item in items)
            self._by_chance += len(items) * float(np.mean(self._of_item == favourite))

    def share(self) -> str:
        """Return the share of the counted recommendations in one line; empty if nothing was counted."""
        if not self._listed:
            return ""
        return (
            f"Of all recommendations, {self._in_favourite / self._listed:.0%} are of the category the visitor reads "
            f"most; by chance {self._by_chance / self._listed:.0%}."
        )


class Choice(NamedTuple):
    """Chosen rows, and the favourite category of each key, if everybody was read."""

    rows: list[Row]
    favourites: dict[int, int]


def choose(rows: Iterable[Row], categories: Categories, count: int, everybody: bool, candidates: int) -> Choice:
    """Choose visitors with neither few nor many items, from as many favourite categories as possible.

    Args:
        rows: the visitors.
        count: how many to choose.
        everybody: whether to read all rows; otherwise reading stops after enough candidates.
        candidates: how many visitors to choose from.
    """
    favourites: dict[int, int] = {}
    by_category: defaultdict[int, list[Row]] = defaultdict(list)
    others: list[tuple[int, int, Row]] = []  # distance from the range, key, row
    considered = 0
    for row in rows:
        size, favourite = len(row.indices), categories.favourite(row)
        if everybody:
            favourites[row.key] = favourite
        if considered < candidates and _FEWEST <= size <= _MOST:
            by_category[favourite].append(row)
            considered += 1
        elif considered < count and size:
            others.append((max(_FEWEST - size, size - _MOST), row.key, row))
            others = sorted(others, key=lambda other: other[:2])[:count]
        if considered >= candidates and not everybody:
            break
    chosen = _spread([sorted(group, key=lambda row: row.key) for group in by_category.values()], count)
    return Choice(chosen + [row for _, _, row in others][: count - len(chosen)], favourites)


def _spread(groups: list[list[Row]], count: int) -> list[Row]:
    """Take the middle row of each group in turn, the largest group first."""
    groups = sorted(groups, key=lambda rows: (-len(rows), rows[0].key))
    chosen: list[Row] = []
    while any(groups):
        chosen += [rows.pop(len(rows) // 2) for rows in groups if rows]
    return chosen[:count]
