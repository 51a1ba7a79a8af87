"""Visitors to show as examples: those whose tastes differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """A visitor's items: userId, itemIds int [n], ratings float32 [n]."""

    key: int
    indices: np.ndarray
    values: np.ndarray


def favourite(row: Row, categories: Sequence[str]) -> str:
    """Return the category of most of a visitor's items, of equals the one rated higher; "" if none is known."""
    ratings = row.values.astype(np.float64)
    weights = 1 + ratings / (1 + np.abs(ratings).sum())  # all ratings together count less than one item
    totals: defaultdict[str, float] = defaultdict(float)
    for index, weight in zip(row.indices.tolist(), weights.tolist(), strict=True):
        totals[categories[index]] += weight
    totals.pop("", None)
    return max(sorted(totals), key=totals.__getitem__, default="")


def varied(groups: Iterable[Iterable[Row]], count: int) -> list[Row]:
    """Return `count` rows, if there are as many: the middle one of each group in turn, largest group first.

    groups: rows with the same favourite category; none is empty.
    """
    by_key = [sorted(group, key=lambda row: row.key) for group in groups]
    by_key.sort(key=lambda rows: (-len(rows), rows[0].key))
    chosen: list[Row] = []
    while any(by_key) and len(chosen) < count:
        chosen += [rows.pop(len(rows) // 2) for rows in by_key if rows]
    return chosen[:count]
