"""The items in a worker's memory: factors, ids, popularity, and the best of those that may be answers."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from artifacts import factor_tables
from artifacts.items_table import ItemsTable
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from pipeline.prediction import allowed
from pipeline.prediction.plan import Plan
from pipeline.prediction.writers.answers import Names
from ranking import popularity, similarity
from ranking.diversity import Cap, capped_top_k
from ranking.fold_in import Projection
from ranking.heap import Best
from ranking.neighbourhood import Neighbourhood, Term
from ranking.topk import top_k


class Items:
    """All m items, by itemId, and the g items that may be answers, as the rows of one table in the same order.

    Attributes:
        names: the ids. factors: float32 [m, d].
        compared: float32 [m, d], what scores are computed from: the factors, or their directions.
        allowed_ids: int64 [g], the itemIds that may be answers (or be asked about).
        neighbourhood: the model's item-item term over all items; None without one, and for similar_*.
    """

    def __init__(self, plan: Plan):
        self._plan, options = plan, plan.options
        ids = Vocabulary.read(plan.dataset.vocab_items).ids
        described = ItemsTable.read(plan.dataset.items, plan.items, allowed.COLUMNS)
        self.names = Names(ids)
        self.factors = factor_tables.read_table(plan.model.item_factors, plan.item_shards, plan.items)
        by_cosine = options.kind == "similar_items" and options.metric == "cosine"
        self.compared = similarity.directions(self.factors) if by_cosine else self.factors
        self.allowed_ids = np.flatnonzero(allowed.allowed_items(options, ids, described))
        self._all_allowed = len(self.allowed_ids) == len(ids)
        self._table = self.compared if self._all_allowed else self.compared[self.allowed_ids]
        self._table_row = np.full(len(ids), -1, np.int64)
        self._table_row[self.allowed_ids] = np.arange(len(self.allowed_ids))
        self.neighbourhood, self._related = None, None
        if not options.kind.startswith("similar_"):
            self.neighbourhood = Neighbourhood.read(plan.model, plan.items, plan.gamma)
            self._related = self.neighbourhood and self.neighbourhood.renumbered(self._table_row)
        self._popularity = described.popularity[self.allowed_ids]
        categories = allowed.categories(options, ids, plan.dataset, plan.catalogue)
        self._cap = None
        if categories is not None and options.max_per_category is not None:
            self._cap = Cap(categories[self.allowed_ids], options.max_per_category)

    @cached_property
    def projection(self) -> Projection:
        """The solver of rows on these items."""
        plan = self._plan
        weights = factor_tables.read_table(plan.model.item_weights, plan.item_shards, plan.items)
        return Projection(self.factors, weights[:, 0], plan.objective)

    @cached_property
    def _by_popularity(self) -> np.ndarray:
        return popularity.order(self._popularity)

    def best(self, queries: np.ndarray, left_out: SparseRows, histories: SparseRows | None = None) -> Best:
        """Return the itemIds of the greatest scores with queries float32 [b, d], under the options of the job.

        Args:
            left_out: b rows of the itemIds that each query is not given.
            histories: b rows of the itemIds that each visitor has, for the item-item term.
        """
        excluded, options = self._in_table(left_out), self._plan.options
        term = Term(self._related, histories) if self._related and histories else None
        if self._cap is None:
            answers = top_k(queries, self._table, excluded, options.top_k, term=term)
        else:
            answers = capped_top_k(queries, self._table, excluded, options.top_k, self._cap, term=term)
        if options.min_score is not None:
            low = answers.scores < np.float32(options.min_score)  # lists are best first: only the end is cut off
            answers.indices[low], answers.scores[low] = -1, -np.inf
        return self._item_ids(answers)

    def popular(self, left_out: SparseRows) -> Best:
        """Return the most popular itemIds for each row of `left_out`; the scores are popularities."""
        excluded, k = self._in_table(left_out), self._plan.options.top_k
        return self._item_ids(popularity.first_k(self._by_popularity, self._popularity, excluded, k, self._cap))

    def _in_table(self, rows: SparseRows) -> SparseRows:
        """Return rows of itemIds as rows of rows of the table, without the items that may not be answers."""
        return rows if self._all_allowed else rows.renumbered(self._table_row)

    def _item_ids(self, best: Best) -> Best:
        """Return entries that are rows of the table as entries of itemIds; -1 stays -1."""
        return Best(np.where(best.indices >= 0, self.allowed_ids[best.indices], -1), best.scores)
