"""The choice of visitors to show, and the share of recommendations in visitors' favourite categories."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from ranking.examples import Row, favourite, varied

_FEWEST, _MOST = 5, 20  # items read by a visitor whose table is easy to read


class Share:
    """The share of recommendations that are of the visitor's favourite category, and the share that chance gives."""

    def __init__(self, categories: Sequence[str]):
        """Begin with nothing counted; categories: by itemId, "" where unknown."""
        self._items = Counter(categories)
        self._listed, self._in_favourite, self._by_chance = 0, 0, 0.0

    def count(self, favourite: str, recommended: Sequence[str]) -> None:
        """Count the categories of one visitor's recommendations."""
        if favourite:
            self._listed += len(recommended)
            self._in_favourite += recommended.count(favourite)
            self._by_chance += len(recommended) * self._items[favourite] / self._items.total()

    def text(self) -> str:
        """Return both shares in one line; empty if nothing was counted."""
        if not self._listed:
            return ""
        return (
            f"Of all recommendations, {self._in_favourite / self._listed:.0%} are of the category the visitor reads "
            f"most; by chance {self._by_chance / self._listed:.0%}."
        )


def choose(
    rows: Iterable[Row], categories: Sequence[str], count: int, everybody: bool, candidates: int
) -> tuple[list[Row], dict[int, str]]:
    """Choose visitors with neither few nor many items, from as many favourite categories as possible.

    Args:
        categories: by itemId, "" where unknown.
        count: how many to choose.
        everybody: whether to read all rows; otherwise reading stops after enough candidates.
        candidates: how many visitors to choose from.

    Returns:
        The rows, and the favourite category of each key if everybody was read.
    """
    favourites: dict[int, str] = {}
    by_category: defaultdict[str, list[Row]] = defaultdict(list)
    others: list[Row] = []
    considered = 0
    for row in rows:
        category = favourite(row, categories)
        if everybody:
            favourites[row.key] = category
        if considered < candidates and _FEWEST <= len(row.indices) <= _MOST:
            by_category[category].append(row)
            considered += 1
        elif considered < count and len(row.indices):
            others = sorted([*others, row], key=_distance)[:count]
        if considered >= candidates and not everybody:
            break
    chosen = varied(by_category.values(), count)
    return chosen + others[: count - len(chosen)], favourites


def _distance(row: Row) -> tuple[int, int]:
    size = len(row.indices)
    return max(_FEWEST - size, size - _MOST), row.key
