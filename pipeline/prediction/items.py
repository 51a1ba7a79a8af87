"""The items in a worker's memory: factors, ids, popularity, and the best of those that may be answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from artifacts import factor_tables
from artifacts.exposures.unclicked import Resting
from artifacts.items_table import ItemsTable
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from pipeline.prediction import allowed
from pipeline.prediction.plan import Plan
from pipeline.prediction.writers.answers import Names
from ranking import popularity, similarity
from ranking.attributes import last_places, one_list
from ranking.attributes.segments import Segments
from ranking.diversity import Cap, Mmr
from ranking.experiments import exploration
from ranking.fold_in import Projection
from ranking.heap import Best
from ranking.neighbourhood import Neighbourhood, Term
from ranking.rules.lists import ListRules
from ranking.topk import top_k


class Items:
    """All m items, by itemId, the n new ones after them, and those that may be answers, as the rows of two tables.

    Attributes:
        names: the ids; those of items without factors come last. factors: float32 [m + n, d].
        compared: float32 [m + n, d], what scores are computed from: the factors, or their directions.
        allowed_ids: int64 [g], the indices of those that may be answers (or be asked about).
        neighbourhood: the model's item-item term over known items; None without one, and for similar_*.
    """

    def __init__(self, plan: Plan):
        self._plan, options, size = plan, plan.options, plan.items
        ids = Vocabulary.read(plan.dataset.vocab_items).ids
        described = ItemsTable.read(plan.dataset.items, size, allowed.COLUMNS)
        factors = factor_tables.read_table(plan.model.item_factors, plan.item_shards, size)
        new = plan.new
        self.names = Names([*ids, *new.all_ids])
        self.factors = np.concatenate([factors, new.factors]) if len(new) else factors
        by_cosine = options.kind == "similar_items" and options.metric == "cosine"
        self.compared = similarity.directions(self.factors) if by_cosine else self.factors
        may_be = allowed.allowed_items(options, ids, described), allowed.allowed_new(options, new.ids)
        self.allowed_ids = np.flatnonzero(np.concatenate(may_be))
        may_be_last = np.flatnonzero(allowed.allowed_new(options, new.newest)) + len(self.factors)
        self._newest = may_be_last if options.kind == "recommendations" else may_be_last[:0]
        tables = plan.dataset, plan.catalogue, plan.added_items
        categories, cap, mmr = allowed.categories(options, self.names.ids, *tables), None, None
        if categories is not None and options.max_per_category is not None:
            cap = Cap(categories, options.max_per_category)
        if options.mmr_lambda is not None:
            mmr = Mmr(options.mmr_lambda, options.mmr_candidates)
        self._rules, is_known = ListRules(cap, options.min_score, mmr), self.allowed_ids < size
        self._known, self._new = (_Part.of(self, self.allowed_ids[one], self._rules) for one in (is_known, ~is_known))
        self.neighbourhood, self._related = None, None
        if not options.kind.startswith("similar_"):
            self.neighbourhood = Neighbourhood.read(plan.model, size, plan.gamma, plan.few_items)
            self._related = self.neighbourhood
            if self.neighbourhood and len(self._known.ids) < size:
                self._related = self.neighbourhood.renumbered(self._known.rows_of[:size])
        self._popularity = described.popularity[self._known.ids]

    @cached_property
    def projection(self) -> Projection:
        """The solver of rows on the items of the dataset."""
        plan = self._plan
        weights = factor_tables.read_table(plan.model.item_weights, plan.item_shards, plan.items)
        return Projection(self.factors[: plan.items], weights[:, 0], plan.objective)

    @cached_property
    def _by_popularity(self) -> np.ndarray:
        return popularity.order(self._popularity)

    @cached_property
    def resting(self) -> Resting | None:
        """The items that rest for visitors, None if none can."""
        options = self._plan.options
        if not options.unclicked or not options.unclicked_weight:
            return None
        return Resting.read(
            options.unclicked.rstrip("/"), options.unclicked_weight, self.names.ids[: len(self.factors)]
        )

    @cached_property
    def least_known(self) -> np.ndarray:
        """The indices of the items that an explored slot can be given, int64, ascending."""
        first = exploration.least_known(self._plan.items, self._plan.exploration.items)
        return self.allowed_ids[self.allowed_ids >= first]

    def best(self, queries: np.ndarray, left_out: SparseRows, histories: SparseRows | None = None) -> Best:
        """Return the itemIds of the greatest scores with queries float32 [b, d], under the options of the job.

        Args:
            left_out: b rows of the itemIds that each query is not given.
            histories: b rows of the itemIds that each visitor has, for the item-item term.
        """
        options, k, rules = self._plan.options, self._plan.options.top_k, self._rules
        width, term = rules.width(k), Term(self._related, histories) if self._related and histories else None
        answers = self._known.best(queries, left_out, width, term)
        if len(self._new.ids):
            is_similar = options.kind == "similar_items"
            most = width if is_similar else one_list.most_new(self._plan.cold_start.new_items_share, k)
            answers = rules.merged(answers, self._new.best(queries, left_out, most), width)
        answers = rules.chosen(rules.at_least(answers), self.factors.__getitem__, k)
        each = np.full(len(queries), k)
        return last_places.in_last_places(answers, self._newest, each, self._plan.cold_start.newest_items_share)

    def popular_in(self, segments: np.ndarray, left_out: SparseRows) -> Best:
        """Return the most popular itemIds of segments, int64 [b]; the scores are the popularities in them."""
        lists, part, rules = Segments.read(self._plan.model.segments), self._known, self._rules
        width, excluded = rules.width(self._plan.options.top_k), part.in_table(left_out)
        best = Best.empty(len(segments), width)
        for segment in np.unique(segments).tolist():
            rows, values = np.flatnonzero(segments == segment), np.zeros(len(part.ids), np.float32)
            order = part.rows_of[lists.items[segment]]
            values[order[order >= 0]] = lists.scores[segment][order >= 0]
            found = popularity.first_k(order[order >= 0], values, excluded.take(rows), width, part.rules.cap)
            best.indices[rows], best.scores[rows] = part.item_ids(found)
        return rules.chosen(best, self.factors.__getitem__, self._plan.options.top_k)

    def are_newest(self, best: Best) -> np.ndarray:
        """Return bool [b], the lists that have new items without attributes."""
        return np.any(best.indices >= len(self.factors), axis=1)

    def popular(self, left_out: SparseRows) -> Best:
        """Return the most popular itemIds for each row of `left_out`; the scores are popularities."""
        part, k, rules = self._known, self._plan.options.top_k, self._rules
        excluded, cap = part.in_table(left_out), part.rules.cap
        best = popularity.first_k(self._by_popularity, self._popularity, excluded, rules.width(k), cap)
        return rules.chosen(part.item_ids(best), self.factors.__getitem__, k)


@dataclass(frozen=True)
class _Part:
    """Items that may be answers, as the rows of a table in the order of their indices."""

    ids: np.ndarray  # int64 [g], their indices among all items
    table: np.ndarray  # float32 [g, d]
    rows_of: np.ndarray  # int64 [m + n], the row of each index; -1 for one that is not here
    rules: ListRules  # over the rows

    @classmethod
    def of(cls, items: Items, ids: np.ndarray, rules: ListRules) -> _Part:
        """Return the part of all items with these indices, int64 [g], ascending."""
        size = len(items.compared)
        rows_of = np.full(size, -1, np.int64)
        rows_of[ids] = np.arange(len(ids))
        table = items.compared if len(ids) == size else items.compared[ids]
        cap = rules.cap and Cap(rules.cap.categories[ids], rules.cap.most)
        return cls(ids, table, rows_of, rules._replace(cap=cap))

    def best(self, queries: np.ndarray, left_out: SparseRows, k: int, term: Term | None = None) -> Best:
        """Return the indices of the k greatest scores of each query; see `Items.best`."""
        excluded = self.in_table(left_out)

        def search(rows: np.ndarray, length: int) -> Best:
            return top_k(queries[rows], self.table, excluded.take(rows), length, term=term and term.take(rows))

        return self.item_ids(self.rules.best(search, len(queries), len(self.ids), k))

    def in_table(self, rows: SparseRows) -> SparseRows:
        """Return rows of indices as rows of rows of the table, without those that are not here."""
        return rows if len(self.ids) == len(self.rows_of) else rows.renumbered(self.rows_of)

    def item_ids(self, best: Best) -> Best:
        """Return entries that are rows of the table as entries of indices; -1 stays -1."""
        return Best(np.where(best.indices >= 0, self.ids[best.indices], -1), best.scores)
