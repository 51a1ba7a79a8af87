"""Sums by groups and by buckets of visitors: they add up over the shards of a job, and intervals come from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

BUCKETS = 512  # of visitors, which resampling draws whole
Key = tuple[str, ...]  # version, figure, kind of group, group


class Tally:
    """Sums, float64 [BUCKETS, columns], by their key; and counts by name."""

    def __init__(self) -> None:
        self.sums: dict[Key, np.ndarray] = {}
        self.counts: Counter[str] = Counter()

    def add(self, key: Key, buckets: np.ndarray, columns: Sequence[np.ndarray]) -> None:
        """Add columns float64 [n] each of rows in buckets, int64 [n]."""
        if not len(buckets):
            return
        sums = np.stack([np.bincount(buckets, column, BUCKETS) for column in columns], axis=1)
        self.sums[key] = self.sums[key] + sums if key in self.sums else sums

    def add_groups(
        self, key: Key, names: Sequence[str], groups: np.ndarray, buckets: np.ndarray, columns: Sequence[np.ndarray]
    ) -> None:
        """Add rows to their groups, int64 [n], by their names; see `add`."""
        for group in np.unique(groups).tolist():
            rows = groups == group
            self.add((*key, names[group]), buckets[rows], [column[rows] for column in columns])

    def merge(self, others: Iterable[Tally]) -> Tally:
        """Add other tallies to this one, and return it."""
        for other in others:
            for key, sums in other.sums.items():
                self.sums[key] = self.sums[key] + sums if key in self.sums else sums
            self.counts.update(other.counts)
        return self

    def groups(self, *key: str) -> Iterator[Group]:
        """Yield the groups below a key, in the order of their names."""
        for found in sorted(self.sums):
            if found[: len(key)] == key and len(found) == len(key) + 1:
                yield Group(found[-1], self.sums[found])


class Group(NamedTuple):
    """A group and its sums, float64 [BUCKETS, columns]."""

    name: str
    sums: np.ndarray
