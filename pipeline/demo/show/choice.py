"""Which visitors to show, and how often recommendations stay within a visitor's favourite category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.demo.show.inputs import List, Row

_FEWEST, _MOST = 5, 20  # items read by a visitor that is pleasant to look at
_CANDIDATES = 2000
_NONE = -1


class Shelves:
    """Categories of the items, by number in `names`: `of_item` int64[items], -1 where none is known."""

    def __init__(self, items: Sequence[str], catalogue: Mapping[str, tuple[str, str]]) -> None:
        self._items = items
        self.names = sorted({category for _, category in catalogue.values() if category})
        number = {name: place for place, name in enumerate(self.names)}
        self.of_id = {item_id: number.get(category, _NONE) for item_id, (_, category) in catalogue.items()}
        self.of_item = np.array([self.of_id.get(item, _NONE) for item in items], np.int64)

    def favourite(self, row: Row) -> int:
        """The category most of the visitor's items are in, by ratings where two are equal; -1 for none."""
        shelves, values = self.of_item[row.indices], row.values.astype(np.float64)
        known = shelves != _NONE
        if not known.any():
            return _NONE
        # Each item counts 1; all ratings together count less than 1.
        weights = 1 + values / (1 + np.abs(values).sum())
        return int(np.argmax(np.bincount(shelves[known], weights[known])))

    def favourite_name(self, row: Row) -> str:
        """The name of the favourite category, or an empty text."""
        number = self.favourite(row)
        return "" if number == _NONE else self.names[number]

    def read(self, row: Row) -> List:
        """What a visitor read, best first, ties by contentId."""
        pairs = [(self._items[i], float(v)) for i, v in zip(row.indices, row.values, strict=True)]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def choose(rows: Iterable[Row], shelves: Shelves, count: int, everybody: bool) -> tuple[list[Row], dict[int, int]]:
    """Chooses `count` visitors who read neither little nor much, of as many favourite categories as can be.

    Args:
        rows: the visitors; no more of them are read than needed, unless `everybody`.
        everybody: whether to return the favourite of each visitor.

    Returns:
        the rows of the chosen, and key -> favourite category.
    """
    candidates: defaultdict[int, list[Row]] = defaultdict(list)
    others: list[tuple[int, int, Row]] = []
    favourites: dict[int, int] = {}
    kept = 0
    for row in rows:
        size = len(row.indices)
        favourite = shelves.favourite(row)
        if everybody:
            favourites[row.key] = favourite
        if kept < _CANDIDATES and _FEWEST <= size <= _MOST:
            # A copy: the row is a slice of a batch, which it would keep in memory.
            candidates[favourite].append(Row(row.key, row.indices.copy(), row.values.copy()))
            kept += 1
        elif kept < count and size:
            distance = max(_FEWEST - size, size - _MOST)
            others.append((distance, row.key, Row(row.key, row.indices.copy(), row.values.copy())))
            others = sorted(others, key=lambda other: other[:2])[:count]
        if kept >= _CANDIDATES and not everybody:
            break
    groups = [sorted(group, key=lambda row: row.key) for group in candidates.values()]
    chosen = _spread(groups, count)
    chosen += [row for _, _, row in others][: count - len(chosen)]
    return chosen, favourites


def _spread(groups: list[list[Row]], count: int) -> list[Row]:
    """Takes the middle row of each group in turn, the largest group first."""
    groups = sorted(groups, key=lambda rows: (-len(rows), rows[0].key))
    chosen: list[Row] = []
    while len(chosen) < count and any(groups):
        for rows in groups:
            if rows and len(chosen) < count:
                chosen.append(rows.pop(len(rows) // 2))
    return chosen


class Share:
    """Counts recommendations in the visitors' own favourite categories."""

    def __init__(self, shelves: Shelves, favourites: Mapping[str, int]) -> None:
        self._shelves, self._favourites = shelves, favourites
        known = shelves.of_item[shelves.of_item != _NONE]
        self._portions = np.bincount(known, minlength=1) / max(len(shelves.of_item), 1)
        self._listed, self._own, self._chance = 0, 0, 0.0

    def add(self, visitor: str, items: Sequence[str]) -> None:
        """Counts the recommendations of one visitor."""
        favourite = self._favourites.get(visitor, _NONE)
        if favourite == _NONE or not items:
            return
        own = sum(self._shelves.of_id.get(item, _NONE) == favourite for item in items)
        self._listed += len(items)
        self._own += own
        self._chance += len(items) * float(self._portions[favourite])

    def line(self) -> str:
        """The outcome in one line; empty where nothing was counted."""
        if not self._listed:
            return ""
        return (
            f"Of all recommendations, {self._own / self._listed:.0%} are of the category the visitor reads "
            f"most; by chance {self._chance / self._listed:.0%}."
        )
