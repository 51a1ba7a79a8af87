"""Sums by groups and by buckets of visitors: they add up over the shards of a job, and intervals come from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.exposures.unclicked import SCHEMA as UNCLICKED

BUCKETS = 512  # of visitors, which resampling draws whole
EXAMPLES = 4  # of a version with a hit, and as many without
Key = tuple[str, ...]  # version, figure, kind of group, group


class Tally:
    """Sums, float64 [BUCKETS, columns], by their key; counts by name; sums of items, and visitors as examples."""

    def __init__(self) -> None:
        self.sums: dict[Key, np.ndarray] = {}
        self.counts: Counter[str] = Counter()
        self.unclicked = UNCLICKED.empty_table()  # of one shard, not added up
        self.items: list[pa.RecordBatch] = []  # columns of pipeline.outcomes.measures.items.ITEMS
        self.examples: dict[tuple[str, bool], list[Drawn]] = {}  # by version, and whether they have a hit

    def add(self, key: Key, buckets: np.ndarray, columns: Sequence[np.ndarray]) -> None:
        """Add columns float64 [n] each of rows in buckets, int64 [n]."""
        if not len(buckets):
            return
        self._add(key, np.stack([np.bincount(buckets, column, BUCKETS) for column in columns], axis=1))

    def add_groups(
        self, key: Key, names: Sequence[str], groups: np.ndarray, buckets: np.ndarray, columns: Sequence[np.ndarray]
    ) -> None:
        """Add rows to their groups, int64 [n], by their names; see `add`."""
        there = np.bincount(groups, minlength=len(names))
        places = groups * BUCKETS + buckets
        sums = [np.bincount(places, column, len(names) * BUCKETS).reshape(-1, BUCKETS) for column in columns]
        for group in np.flatnonzero(there).tolist():
            self._add((*key, names[group]), np.stack([column[group] for column in sums], axis=1))

    def _add(self, key: Key, sums: np.ndarray) -> None:
        self.sums[key] = self.sums[key] + sums if key in self.sums else sums

    def add_examples(self, key: tuple[str, bool], drawn: Iterable[Drawn]) -> None:
        """Add visitors as examples, and keep those with the least numbers."""
        self.examples[key] = sorted([*self.examples.get(key, []), *drawn])[:EXAMPLES]

    def merge(self, others: Iterable[Tally]) -> Tally:
        """Add other tallies to this one, and return it."""
        for other in others:
            for key, sums in other.sums.items():
                self._add(key, sums)
            self.counts.update(other.counts)
            self.items += other.items
            for of, drawn in other.examples.items():
                self.add_examples(of, drawn)
        return self

    def groups(self, *key: str) -> Iterator[Group]:
        """Yield the groups below a key, in the order of their names."""
        for found in sorted(self.sums):
            if found[: len(key)] == key and len(found) == len(key) + 1:
                yield Group(found[-1], self.sums[found])


class Drawn(NamedTuple):
    """A visitor as an example: a pseudo-random number, by which some are chosen, and what is shown, as JSON."""

    number: int
    shown: str


class Group(NamedTuple):
    """A group and its sums, float64 [BUCKETS, columns]."""

    name: str
    sums: np.ndarray
