"""The answers of the SavedModel's signatures: tables and ids, and what is computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings
from ranking import cold_start, similarity
from ranking.attributes import one_list
from ranking.attributes.new_items import NewItems
from ranking.fold_in import Projection
from ranking.neighbourhood import Neighbourhood
from trainer.saved_model import new_items_graph, topk_graph
from trainer.saved_model.entries import answered, check, counts
from trainer.saved_model.fold_in_graph import FoldIn
from trainer.saved_model.id_lookup import NONE, AllIds, Ids
from trainer.saved_model.neighbourhood_graph import Related
from trainer.saved_model.new_items_graph import NewItemsOfModel, NewRows


@dataclass(frozen=True)
class Tables:
    """The content of the model; u visitors by userId, m items by itemId, d factors. The items' are in a Projection."""

    users: np.ndarray  # float32 [u, d], the factors that answer; projected ones for visitors with few ratings
    user_weights: np.ndarray  # float32 [u], R
    default_row_weight: float  # R of a visitor that was not in the training data
    histories: SparseRows  # the items of each visitor, and the ratings
    owners: SparseRows  # the visitors of each item that may not be recommended to them again
    popularity: np.ndarray  # float32 [m], the scores if popularity answers
    vocab_users: str  # path of the vocabulary
    vocab_items: str  # path of the vocabulary
    new: NewItems  # the items that nobody has viewed
    new_ids: str  # path of their ids, if there are some
    neighbourhood: Neighbourhood | None = None  # the item-item term, if the model has one


def _constant(name: str, value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False, name=name)


class Answers(tf.Module):
    """The tables, and the answers from them.

    `new` of a method: the new items that may be in its lists or be asked about, in place of those of the model alone.
    """

    def __init__(self, tables: Tables, projection: Projection, settings: ColdStartSettings):
        super().__init__(name="wals")
        self.visitor_ids, self.item_ids = Ids(tables.vocab_users, "visitors"), Ids(tables.vocab_items, "items")
        self._settings, self._site_ratings = settings, tables.histories.entries
        self._default_row_weight = tables.default_row_weight
        self.users, self.items = _constant("users", tables.users), _constant("items", projection.items)
        self.user_weights = _constant("user_weights", tables.user_weights)
        self.user_norms = _constant("user_norms", similarity.norms(tables.users))
        self.item_norms = _constant("item_norms", similarity.norms(projection.items))
        self.mean_item = _constant("mean_item", cold_start.mean_item(projection.items))
        self.popularity = _constant("popularity", tables.popularity)
        self.splits = _constant("splits", tables.histories.indptr)
        self.history = _constant("history", tables.histories.indices)
        self.ratings = _constant("ratings", tables.histories.values)
        self.entry_weights = _constant("entry_weights", tables.histories.weights)
        self.again = _constant("again", tables.histories.again)
        self.owner_splits = _constant("owner_splits", tables.owners.indptr)
        self.owners = _constant("owners", tables.owners.indices)
        self.fold_in = FoldIn(self.items, projection)
        self.new = NewItemsOfModel(tables.new, tables.new_ids) if tables.new.all_ids else None
        self.related = Related(tables.neighbourhood) if tables.neighbourhood else None
        self.all_owner_splits, self.all_owners = self.owner_splits, self.owners
        if self.related and len(tables.histories.again):
            all_owners = tables.histories.transpose(len(projection.items))
            self.all_owner_splits = _constant("all_owner_splits", all_owners.indptr)
            self.all_owners = _constant("all_owners", all_owners.indices)

    def new_rows(self, names: tf.Tensor | None = None, factors: tf.Tensor | None = None) -> NewRows | None:
        """Return the new items of the model, then those of a request: ids [e] and factors float32 [e, d]."""
        known = self.items.shape[0]
        of_model = self.new.rows(known) if self.new else None
        if names is None:
            return of_model
        count = self.new.factors.shape[0] if self.new else 0
        given = NewRows.given(names, factors, self._all_ids(of_model), known)
        return of_model.followed_by(given, count) if of_model else given

    def _all_ids(self, new: NewRows | None) -> Ids | AllIds:
        """Return the ids of the known and the new items."""
        return AllIds(self.item_ids, new.ids, self.items.shape[0]) if new else self.item_ids

    def for_visitors(self, visitor_ids: tf.Tensor, k: tf.Tensor, new: NewRows | None) -> dict[str, tf.Tensor]:
        """Return the best items for each visitor, without those that the visitor has and may not be given again."""
        users = self.visitor_ids.indices(visitor_ids)
        history, _ = self._histories(users)
        factors = tf.gather(self.users, tf.maximum(users, 0))
        rules, left_out = self._rules(users >= 0, history), self._left_out(users, history)
        return self._recommend(rules, factors, history, left_out, k, new)

    def for_histories(
        self,
        content_ids: tf.Tensor,
        ratings: tf.Tensor,
        k: tf.Tensor,
        new: NewRows | None,
        by_attributes: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return the best items for visitors without a row in the dataset, from their ratings.

        by_attributes: factors from their attributes, float32 [b, d], and whether these are known, bool [b].
        """
        finite = check(tf.reduce_all(tf.math.is_finite(ratings)), "ratings must be finite numbers")
        same = tf.reduce_all(tf.equal(tf.shape(content_ids), tf.shape(ratings)))
        with tf.control_dependencies([finite, check(same, "contentIds and ratings must have one shape")]):
            items = self.item_ids.indices(content_ids)
        known = (items >= 0) & (tf.strings.length(content_ids) > 0)
        history = tf.ragged.boolean_mask(items, known)
        ordered = tf.sort(tf.where(known, items, -1 - tf.range(tf.shape(items, tf.int64)[1])), axis=1)
        once = tf.reduce_all(ordered[:, 1:] != ordered[:, :-1])
        with tf.control_dependencies([check(once, "a history names an item twice; name it once")]):
            unknown = tf.zeros(tf.shape(items)[:1], tf.bool)
        rows = tf.shape(items)[0]
        prior, described = by_attributes or (tf.zeros([rows, self.items.shape[1]]), unknown)
        rules = self._rules(unknown, history, described)
        weights = tf.cast(self._default_row_weights(rows), tf.float64)
        given, projected = tf.ragged.boolean_mask(ratings, known), tf.where(rules.projection)[:, 0]
        factors = self.fold_in.from_prior(prior, history, given, weights, projected)
        return self._recommend(rules, factors, history, history, k, new, seen=content_ids) | {
            "known": tf.cast(history.row_lengths(), tf.int32)
        }

    def _histories(self, users: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Return the items int64 and the ratings float32 of each user, [b, (n)]; an empty row for -1."""
        entries = topk_graph.rows_of(self.splits, users)
        return _wide(topk_graph.take(entries, self.history)), topk_graph.take(entries, self.ratings)

    def _entry_weights(self, users: tf.Tensor, ratings: tf.RaggedTensor) -> tf.RaggedTensor:
        """Return E float32 of each user's items, [b, (n)]."""
        if not self.entry_weights.shape[0]:
            return tf.ones_like(ratings)
        return topk_graph.take(topk_graph.rows_of(self.splits, users), self.entry_weights)

    def _left_out(self, users: tf.Tensor, history: tf.RaggedTensor) -> tf.RaggedTensor:
        """Return the items of each user's history that may not be recommended again, [b, (n)]."""
        if not self.again.shape[0]:
            return history
        again = topk_graph.take(topk_graph.rows_of(self.splits, users), self.again)
        return tf.ragged.boolean_mask(history, tf.logical_not(again))

    def _default_row_weights(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.fill([rows], tf.constant(self._default_row_weight, tf.float32))

    def _rules(
        self, known: tf.Tensor, history: tf.RaggedTensor, described: tf.Tensor | bool = False
    ) -> cold_start.Rules:
        limits = self._settings.min_ratings, self._settings.min_site_ratings
        return cold_start.rules(known, history.row_lengths(), self._site_ratings, *limits, described)

    def _recommend(
        self,
        rules: cold_start.Rules,
        factors: tf.Tensor,
        history: tf.RaggedTensor,
        left_out: tf.RaggedTensor,
        k: tf.Tensor,
        new: NewRows | None,
        *,
        seen: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        most, each = counts(k, tf.shape(factors)[0])
        instead = rules.popularity, self.popularity.value()
        search = factors, self.items.value(), left_out, most, instead
        if self.related:
            items, scores = topk_graph.best_with_addends(*search, self.related.addends(history))
        else:
            items, scores = topk_graph.best_instead(*search)
        if new:
            most_new = one_list.most_new(self._settings.new_items_share, tf.cast(each, tf.int64))
            most_new = tf.where(rules.popularity, tf.zeros_like(most_new), most_new)
            items, scores = new.among((items, scores), factors, most_new, most, seen)
        rule = tf.where(rules.factors, cold_start.FACTORS, cold_start.PROJECTION)
        rule = tf.where(rules.attributes, cold_start.ATTRIBUTES, rule)
        rule = tf.where(rules.popularity, cold_start.POPULARITY, rule)
        answer = answered("contentIds", self._all_ids(new), items, scores, each) | {"rule": rule}
        if new:
            each = tf.where(rules.popularity, 0, each)
            answer = new_items_graph.in_last_places(answer, new.newest, each, self._settings.newest_items_share, seen)
        return answer

    def projected(self, indices: tf.Tensor, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the factors of rows of itemIds, padded with -1, with the items' factors as they are."""
        given = indices >= 0
        history, ratings = tf.ragged.boolean_mask(indices, given), tf.ragged.boolean_mask(values, given)
        rows = tf.range(tf.shape(indices, tf.int64)[0])
        weights = self._default_row_weights(tf.shape(indices)[0])
        return {"factors": self.fold_in.factors(history, ratings, weights, rows)}

    def for_items(self, content_ids: tf.Tensor, k: tf.Tensor, new: NewRows | None) -> dict[str, tf.Tensor]:
        """Return the visitors with the greatest scores for each item, without those whose history leaves it out."""
        items = self.item_ids.indices(content_ids)
        known = items >= 0
        factors = tf.where(known[:, None], tf.gather(self.items, tf.maximum(items, 0)), self.mean_item[None, :])
        rule = tf.where(known, cold_start.FACTORS, cold_start.MEAN_ITEM)
        if new:
            is_new, of_new = new.rows(content_ids)
            factors = tf.where(is_new[:, None], of_new, factors)
            rule = tf.where(is_new, cold_start.ATTRIBUTES, rule)
        return self._audience(items, factors, rule, k)

    def audience_of_factors(self, factors: tf.Tensor, rule: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return what `for_items` does for factors float32 [b, d] of items that the model does not have."""
        return self._audience(tf.fill(tf.shape(factors, tf.int64)[:1], tf.constant(NONE, tf.int64)), factors, rule, k)

    def _audience(self, items: tf.Tensor, factors: tf.Tensor, rule: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        owners = _wide(topk_graph.take(topk_graph.rows_of(self.owner_splits, items), self.owners))
        most, each = counts(k, tf.shape(items)[0])
        search = factors, self.users.value(), owners, most
        if self.related:
            instead = tf.zeros(tf.shape(items), tf.bool), tf.zeros(self.users.shape[:1])  # popularity for no item
            counts_of_items = self.splits[1:] - self.splits[:-1]
            addends = self.related.audience_addends(items, self.all_owner_splits, self.all_owners, counts_of_items)
            users, scores = topk_graph.best_with_addends(*search, instead, addends)
        else:
            users, scores = topk_graph.best(*search)
        return answered("visitorIds", self.visitor_ids, users, scores, each) | {"rule": rule}

    def like_items(self, names: tf.Tensor, k: tf.Tensor, norms: Any, new: NewRows | None) -> dict[str, tf.Tensor]:
        """Return the items like each item: of the greatest cosine if `norms` are the items', else product."""
        if not new:
            return self.like(names, k, self.item_ids, "contentIds", self.items, norms)
        most, each = counts(k, tf.shape(names)[0])
        ids = self._all_ids(new)
        indices = ids.indices(names)
        best, scores = new.similar(indices, self.items, norms, most)
        return answered("contentIds", ids, best, scores, tf.where(indices >= 0, each, 0))

    def like(
        self, names: tf.Tensor, k: tf.Tensor, ids: Ids, called: str, table: tf.Tensor, norms: Any = None
    ) -> dict[str, tf.Tensor]:
        """Return the rows of a table like each row of it: of the greatest cosine if `norms` are its, else product."""
        indices = ids.indices(names)
        known = tf.maximum(indices, 0)
        most, each = counts(k, tf.shape(indices)[0])
        itself = tf.RaggedTensor.from_tensor(known[:, None])
        search = topk_graph.rows(table, known, norms), table.value(), itself, most
        best, scores = topk_graph.best(*search) if norms is None else topk_graph.best_by_cosine(*search, norms.value())
        return answered(called, ids, best, scores, tf.where(indices >= 0, each, 0))

    def explained(
        self, visitor_ids: tf.Tensor, content_ids: tf.Tensor, k: tf.Tensor, new: NewRows | None
    ) -> dict[str, tf.Tensor]:
        """Return the visitor's items of the greatest contributions to the projected score of an item."""
        users, items = self.visitor_ids.indices(visitor_ids), self._all_ids(new).indices(content_ids)
        wanted = tf.gather(self.items, tf.clip_by_value(items, 0, self.items.shape[0] - 1))
        if new:
            is_new, of_new = new.rows(content_ids)
            wanted = tf.where(is_new[:, None], of_new, wanted)
        users = tf.where(items >= 0, users, NONE)
        history, ratings = self._histories(users)
        most, each = counts(k, tf.shape(users)[0])
        own, entries = self._entry_weights(users, ratings), tf.gather(users, ratings.value_rowids())
        weights = own.with_values(own.values * tf.gather(self.user_weights, tf.maximum(entries, 0)))
        shares = self.fold_in.contributions(history, ratings, weights, wanted)
        if self.related:
            shares += self.related.contributions(history, items)
        answer = answered("contentIds", self.item_ids, *topk_graph.best_of_each(history, shares, most), each)
        answer["contributions"] = answer.pop("scores")
        return answer | {"score": tf.cast(tf.reduce_sum(shares, 1), tf.float32)}

    def histories_of(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the items that each visitor has, the best rated first."""
        history, ratings = self._histories(self.visitor_ids.indices(visitor_ids))
        most, each = counts(k, tf.shape(visitor_ids)[0])
        answer = answered("contentIds", self.item_ids, *topk_graph.best_of_each(history, ratings, most), each)
        answer["ratings"] = answer.pop("scores")
        return answer | {"total": tf.cast(history.row_lengths(), tf.int32)}


def _wide(indices: tf.RaggedTensor) -> tf.RaggedTensor:
    return tf.cast(indices, tf.int64)
