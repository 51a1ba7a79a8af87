"""The items of a run's dataset in a worker's memory: ids, popularity, category and age."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, DAY_MS, FIRST_TIME_MS, POPULARITY, VISITORS
from artifacts.vocabulary import Vocabulary
from pipeline.outcomes.live.runs import Run
from ranking import popularity

_CATEGORIES = 20  # that are measured by themselves, those with the most visitors
UNKNOWN, OTHERS = "unknown", "other categories"
AGES = {"1 day": 1, "2-7 days": 7, "8-30 days": 30, "31-180 days": 180, "older": None}  # the greatest age of each group


class Groups(NamedTuple):
    """Groups of items: their names; the group of each item and, last, of those that are not in the dataset, int64."""

    names: list[str]
    of_item: np.ndarray


class Items:
    """The m items of a run."""

    def __init__(self, run: Run):
        self._run = run
        self.ids = pa.array(Vocabulary.read(run.dataset.vocab_items, run.items).ids, pa.binary())
        optional = (FIRST_TIME_MS, CATEGORY)
        self._table = ItemsTable.read(run.dataset.items, run.items, (VISITORS, POPULARITY), optional)

    def codes_of(self, names: pa.BinaryArray) -> np.ndarray:
        """Return the itemId of each id, int64 [n]; those that are not in the dataset come after its items."""
        codes = pc.index_in(names, value_set=self.ids)
        return np.where(codes.is_null(), len(self.ids) + np.arange(len(names)), codes.fill_null(0)).astype(np.int64)

    def group(self, groups: Groups, codes: np.ndarray) -> np.ndarray:
        """Return the group of items, int64 [n], by the codes of `codes_of`."""
        return groups.of_item[np.minimum(codes, len(self.ids))]

    @cached_property
    def popularity(self) -> np.ndarray:
        """The popularity of each item, float32 [m]."""
        return self._table.popularity

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """The items, the most popular first, int64 [m]: the recommendations of rule `popularity`."""
        return popularity.order(self.popularity)

    @cached_property
    def categories(self) -> Groups:
        """The items by category, as far as the dataset has them."""
        size = len(self.ids)
        if CATEGORY not in self._table.table.column_names:
            return Groups([UNKNOWN], np.zeros(size + 1, np.int64))
        encoded = self._table.table[CATEGORY].combine_chunks().cast(pa.string()).dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
        visitors = np.bincount(codes, self._table.visitors, len(encoded.dictionary) + 1)[:-1]
        first = np.argsort(-visitors, kind="stable")[:_CATEGORIES]
        names = [encoded.dictionary[int(code)].as_py() for code in first] + [OTHERS, UNKNOWN]
        group = np.full(len(encoded.dictionary) + 1, len(first))
        group[first], group[-1] = np.arange(len(first)), len(first) + 1
        return Groups(names, np.append(group[codes], len(first) + 1))

    @cached_property
    def ages(self) -> Groups:
        """The items by the days from their first view to the run."""
        names, size = [*AGES, UNKNOWN], len(self.ids)
        if FIRST_TIME_MS not in self._table.table.column_names:
            return Groups(names, np.full(size + 1, len(AGES)))
        days = (self._run.start_ms - self._table.first_time_ms) / DAY_MS
        limits = [limit for limit in AGES.values() if limit is not None]
        groups = np.where(np.isnan(days), len(AGES), np.searchsorted(limits, days))
        return Groups(names, np.append(groups, len(AGES)))
