"""The items in a worker's memory: factors, ids, popularity, and which of them may be answers."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from artifacts import factor_tables
from artifacts.items_table import ItemsTable
from artifacts.vocabulary import Vocabulary
from pipeline.prediction import allowed
from pipeline.prediction.plan import Plan
from pipeline.prediction.writers.answers import Names
from ranking import cold_start, popularity, similarity
from ranking.diversity import Cap
from ranking.fold_in import Projection
from ranking.heap import Best
from ranking.sparse_rows import SparseRows


class Items:
    """All m items, by itemId, and the g items that may be answers, as the rows of one table in the same order.

    Attributes:
        names: the ids. factors: float32 [m, d].
        compared: float32 [m, d], what scores are computed from: the factors, or their directions.
        allowed: bool [m], whether an item may be an answer (or be asked about).
        allowed_ids: int64 [g], the itemIds of those. table: float32 [g, d], their rows of `compared`.
        cap: the limit on each category, by rows of `table`; None without one.
    """

    def __init__(self, plan: Plan):
        self._plan, options = plan, plan.options
        ids = Vocabulary.read(plan.dataset.vocab_items).ids
        described = ItemsTable.read(plan.dataset.items, plan.items, allowed.COLUMNS)
        self.names = Names(ids)
        self.factors = factor_tables.read_table(plan.model.item_factors, plan.item_shards, plan.items)
        self._popularity = described.popularity
        self.allowed = allowed.allowed_items(options, ids, described)
        self.allowed_ids = np.flatnonzero(self.allowed)
        self.cap = None
        categories = allowed.categories(options, ids, plan.catalogue)
        if categories is not None and options.max_per_category is not None:
            self.cap = Cap(categories[self.allowed_ids], options.max_per_category)
        by_cosine = options.kind == "similar_items" and options.metric == "cosine"
        self.compared = similarity.directions(self.factors) if by_cosine else self.factors
        self._all_allowed = len(self.allowed_ids) == len(ids)
        self.table = self.compared if self._all_allowed else self.compared[self.allowed_ids]
        self._table_row = np.full(len(ids), -1, np.int64)
        self._table_row[self.allowed_ids] = np.arange(len(self.allowed_ids))

    @cached_property
    def projection(self) -> Projection:
        """The solver of rows on these items."""
        plan = self._plan
        weights = factor_tables.read_table(plan.model.item_weights, plan.item_shards, plan.items)
        return Projection(self.factors, weights[:, 0], plan.objective)

    @cached_property
    def mean(self) -> np.ndarray:
        """Factors float32 [d] of an item that nobody viewed yet."""
        return cold_start.mean_item(self.factors)

    @cached_property
    def by_popularity(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `table` int64 [g], the most popular first, and the popularity float32 [g] of each row."""
        values = self._popularity[self.allowed_ids]
        return popularity.order(values), values

    def in_table(self, rows: SparseRows) -> SparseRows:
        """Return rows of itemIds as rows of rows of `table`, without the items that may not be answers."""
        return rows if self._all_allowed else rows.renumbered(self._table_row)

    def item_ids(self, best: Best) -> Best:
        """Return entries that are rows of `table` as entries of itemIds; -1 stays -1."""
        return Best(np.where(best.indices >= 0, self.allowed_ids[best.indices], -1), best.scores)
