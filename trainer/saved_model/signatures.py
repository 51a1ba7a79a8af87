"""The SavedModel's signatures: string ids in, string ids out. docs/serving.md describes them for callers.

Items and visitors stand in tables in the order of their ids' bytes; a *place* is a row of these tables, where an
itemId or userId is an index of the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings import ColdStartSettings
from ranking import cold_start, similarity
from trainer.als import wals
from trainer.saved_model import topk_graph
from trainer.saved_model.id_lookup import NONE, Ids

_K = tf.TensorSpec(None, tf.int32, "k")  # of any rank: one for all rows, or one a row
_VISITORS = tf.TensorSpec([None], tf.string, "visitorId")
_ITEMS = tf.TensorSpec([None], tf.string, "contentId")


@dataclass(frozen=True)
class Tables:
    """What goes into the model; u visitors, m items, n interactions, d factors, by place.

    Attributes:
        users: float32 [u, d], as they answer: of those with few ratings, projected. items: float32 [m, d].
        user_weights: float32 [u], R. item_weights: float32 [m], C.
        default_row_weight: R of a visitor who was not trained on.
        place_of_item: int64 [m], the place of each itemId.
        splits, items, ratings: what each visitor has: int64 [u + 1], int32 [n] places ascending, float32 [n].
        owner_splits, owners: who has each item: int64 [m + 1], int32 [n].
        popularity: float32 [m], the scores where popularity answers.
        visitor_ids, content_ids: paths of the vocabularies, line n being the id at place n.
    """

    users: np.ndarray
    items: np.ndarray
    user_weights: np.ndarray
    item_weights: np.ndarray
    default_row_weight: float
    place_of_item: np.ndarray
    splits: np.ndarray
    history: np.ndarray
    ratings: np.ndarray
    owner_splits: np.ndarray
    owners: np.ndarray
    popularity: np.ndarray
    visitor_ids: str
    content_ids: str


def _signature(*specs: tf.TensorSpec) -> Any:
    return tf.function(input_signature=specs, autograph=False)


class Recommender(tf.Module):
    """The tables and the signatures over them."""

    def __init__(self, tables: Tables, objective: wals.Objective, settings: ColdStartSettings):
        super().__init__(name="wals")
        self.visitor_ids, self.item_ids = Ids(tables.visitor_ids, "visitors"), Ids(tables.content_ids, "items")
        self._objective, self._settings, self._ratings_of_site = objective, settings, len(tables.history)
        gram = wals.gramian(tables.items)
        # So small beside the rest that it only matters where the system is singular.
        self._floor = max(1e-10 * float(np.trace(gram)) / len(gram), 1e-30)
        self._default_row_weight = tables.default_row_weight
        variables = {
            "users": tables.users,
            "items": tables.items,
            "user_weights": tables.user_weights,
            "item_weights": tables.item_weights,
            "user_norms": similarity.norms(tables.users),
            "item_norms": similarity.norms(tables.items),
            "mean_item": cold_start.mean_item(tables.items),
            "shared": objective.unobserved_weight * gram,
            "place_of_item": tables.place_of_item,
            "splits": tables.splits,
            "history": tables.history,
            "ratings": tables.ratings,
            "owner_splits": tables.owner_splits,
            "owners": tables.owners,
            "popularity": tables.popularity,
        }
        self.variables_by_name = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in variables.items()
        }

    def __getattr__(self, name: str) -> tf.Variable:
        try:
            return self.__dict__["variables_by_name"][name]
        except KeyError:
            raise AttributeError(name) from None

    @_signature(_VISITORS, _K)
    def recommend(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items for each visitor, without what the visitor has."""
        places = self.visitor_ids.places(visitor_ids)
        entries = topk_graph.rows_of(self.splits, places)
        own = tf.gather(self.users, tf.maximum(places, 0))
        history = _wide(topk_graph.take(entries, self.history))
        return self._recommend(self._rules(places >= 0, history), own, history, k)

    @_signature(
        tf.TensorSpec([None, None], tf.string, "contentIds"), tf.TensorSpec([None, None], tf.float32, "ratings"), _K
    )
    def recommend_from_history(self, content_ids: tf.Tensor, ratings: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items for visitors of whom no more is known than what they viewed."""
        check = _check(tf.reduce_all(tf.math.is_finite(ratings)), "ratings must be finite numbers")
        same = tf.reduce_all(tf.equal(tf.shape(content_ids), tf.shape(ratings)))
        with tf.control_dependencies([check, _check(same, "contentIds and ratings must have one shape")]):
            places = self.item_ids.places(content_ids)
        known = (places >= 0) & (tf.strings.length(content_ids) > 0)
        history = tf.ragged.boolean_mask(places, known)
        ordered = tf.sort(tf.where(known, places, -1 - tf.range(tf.shape(places, tf.int64)[1])), axis=1)
        once = tf.reduce_all(ordered[:, 1:] != ordered[:, :-1])
        with tf.control_dependencies([_check(once, "a history names an item twice; give it once")]):
            nobody = tf.zeros(tf.shape(places)[:1], tf.bool)
        rules = self._rules(nobody, history)
        some, rows = tf.where(rules.projection), tf.shape(places)[0]
        factors = self._project(
            history, tf.ragged.boolean_mask(ratings, known), self._default_row_weights(rows), some[:, 0]
        )
        own = tf.tensor_scatter_nd_update(tf.zeros([rows, self.items.shape[1]]), some, factors)
        found = self._recommend(rules, own, history, k)
        return found | {"known": tf.cast(history.row_lengths(), tf.int32)}

    def _default_row_weights(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.fill([rows], tf.constant(self._default_row_weight, tf.float32))

    def _rules(self, known: tf.Tensor, history: tf.RaggedTensor) -> cold_start.Rules:
        limits = self._settings.min_ratings, self._settings.min_site_ratings
        return cold_start.rules(known, history.row_lengths(), self._ratings_of_site, *limits)

    def _recommend(
        self, rules: cold_start.Rules, own: tf.Tensor, history: tf.RaggedTensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        most, each = _counts(k, tf.shape(own)[0])
        instead = rules.popularity, self.popularity.value()
        places, scores = topk_graph.best(own, self.items, history, most, instead)
        rule = tf.where(rules.factors, cold_start.FACTORS, cold_start.PROJECTION)
        rule = tf.where(rules.popularity, cold_start.POPULARITY, rule)
        return _answer("contentIds", self.item_ids, places, scores, each) | {"rule": rule}

    @_signature(tf.TensorSpec([None, None], tf.int64, "indices"), tf.TensorSpec([None, None], tf.float32, "values"))
    def project(self, indices: tf.Tensor, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rows of the dataset (itemIds, padded with -1) -> their factors, with the items' factors as they are."""
        given = indices >= 0
        history = tf.ragged.boolean_mask(tf.gather(self.place_of_item, tf.maximum(indices, 0)), given)
        rows = tf.range(tf.shape(indices, tf.int64)[0])
        weights = self._default_row_weights(tf.shape(indices)[0])
        return {"factors": self._project(history, tf.ragged.boolean_mask(values, given), weights, rows)}

    def _project(
        self, history: tf.RaggedTensor, ratings: tf.RaggedTensor, row_weights: tf.Tensor, rows: tf.Tensor
    ) -> tf.Tensor:
        """Factors float32 [rows, d] of some rows of a history, R by row."""
        starts = ratings.row_splits

        def one(row: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
            left, factors, weights = self._system(places, row_weights[row])
            given = tf.cast(ratings.values[starts[row] : starts[row + 1]], tf.float64)
            right = tf.linalg.matvec(factors, weights * given, transpose_a=True)
            return tf.cast(topk_graph.solve(left, right), tf.float32)

        return topk_graph.each_row(one, history, rows, self.items.shape[1], tf.float32)

    def _system(self, places: tf.Tensor, row_weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of the row solve of `wals`, (w0 G + lambda_i I + R_i sum C_j v_j v_j') u = sum (w0 + R_i C_j) a_j v_j.

        Returns:
            The left side float64 [d, d], the factors v_j float64 [n, d] and the weights w0 + R_i C_j float64 [n].
        """
        factors = tf.cast(tf.gather(self.items, places), tf.float64)
        weights = tf.cast(row_weight, tf.float64) * tf.cast(tf.gather(self.item_weights, places), tf.float64)
        w0, nu = self._objective.unobserved_weight, self._objective.frequency_exponent
        frequency = tf.cast(tf.size(places), tf.float64) + w0 * self.items.shape[0]
        ridge = self._objective.regularization_coeff * tf.maximum(frequency, 1e-30) ** nu + self._floor
        left = self.shared + ridge * tf.eye(self.items.shape[1], dtype=tf.float64)
        left += tf.matmul(factors, weights[:, None] * factors, transpose_a=True)
        return left, factors, w0 + weights

    @_signature(_ITEMS, _K)
    def audience(self, content_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The visitors who would like each item best, without those who have it."""
        places = self.item_ids.places(content_ids)
        known = places >= 0
        factors = tf.where(known[:, None], tf.gather(self.items, tf.maximum(places, 0)), self.mean_item[None, :])
        owners = _wide(topk_graph.take(topk_graph.rows_of(self.owner_splits, places), self.owners))
        most, each = _counts(k, tf.shape(places)[0])
        found, scores = topk_graph.best(factors, self.users, owners, most)
        rule = tf.where(known, cold_start.FACTORS, cold_start.MEAN_ITEM)
        return _answer("visitorIds", self.visitor_ids, found, scores, each) | {"rule": rule}

    @_signature(_ITEMS, _K)
    def similar_items(self, content_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The items whose factors point the same way, by cosine; none for an item that the model lacks."""
        return self._similar(content_ids, k, self.item_ids, "contentIds", self.items, self.item_norms)

    @_signature(_ITEMS, _K)
    def similar_items_dot(self, content_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Likewise by dot product, which favours the popular."""
        return self._similar(content_ids, k, self.item_ids, "contentIds", self.items)

    @_signature(_VISITORS, _K)
    def similar_visitors(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The visitors whose factors point the same way, by cosine; none for a visitor whom the model lacks."""
        return self._similar(visitor_ids, k, self.visitor_ids, "visitorIds", self.users, self.user_norms)

    @_signature(_VISITORS, _K)
    def similar_visitors_dot(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Likewise by dot product, which favours those with many ratings."""
        return self._similar(visitor_ids, k, self.visitor_ids, "visitorIds", self.users)

    def _similar(
        self, names: tf.Tensor, k: tf.Tensor, ids: Ids, called: str, table: tf.Tensor, norms: Any = None
    ) -> dict[str, tf.Tensor]:
        places = ids.places(names)
        itself = tf.RaggedTensor.from_tensor(tf.maximum(places, 0)[:, None])
        most, each = _counts(k, tf.shape(places)[0])
        queries = topk_graph.rows(table, tf.maximum(places, 0), norms)
        found, scores = topk_graph.best(queries, table, itself, most, norms=norms)
        return _answer(called, ids, found, scores, tf.where(places >= 0, each, 0))

    @_signature(_VISITORS, _ITEMS, _K)
    def explanation(self, visitor_ids: tf.Tensor, content_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Which of the visitor's items carry a score: v_i . u = sum_j w_j a_j v_i' A^-1 v_j, for the projected u."""
        visitors, wanted = self.visitor_ids.places(visitor_ids), self.item_ids.places(content_ids)
        visitors = tf.where(wanted >= 0, visitors, NONE)
        entries = topk_graph.rows_of(self.splits, visitors)
        history, ratings = _wide(topk_graph.take(entries, self.history)), topk_graph.take(entries, self.ratings)
        most, each = _counts(k, tf.shape(visitors)[0])
        row_weights = tf.gather(self.user_weights, tf.maximum(visitors, 0))
        starts = history.row_splits

        def one(row: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
            left, factors, weights = self._system(places, row_weights[row])
            item = tf.cast(tf.gather(self.items, tf.maximum(wanted[row], 0)), tf.float64)
            given = tf.cast(ratings.values[starts[row] : starts[row + 1]], tf.float64)
            return weights * given * tf.linalg.matvec(factors, topk_graph.solve(left, item))

        shares = self._shares(one, history)
        found = topk_graph.best_of_each(history, shares, most)
        answer = _answer("contentIds", self.item_ids, *found, each)
        answer["contributions"] = answer.pop("scores")
        return answer | {"score": tf.cast(tf.reduce_sum(shares, 1), tf.float32)}

    def _shares(self, function: Any, history: tf.RaggedTensor) -> tf.RaggedTensor:
        splits = history.row_splits

        def one(row: tf.Tensor) -> tf.RaggedTensor:
            return tf.RaggedTensor.from_tensor(function(row, history.values[splits[row] : splits[row + 1]])[None, :])

        kind = tf.RaggedTensorSpec([1, None], tf.float64)
        found = tf.map_fn(one, tf.range(history.nrows()), fn_output_signature=kind)
        return tf.RaggedTensor.from_row_splits(found.flat_values, splits)

    @_signature(_VISITORS, _K)
    def history_of(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """What each visitor has, the best rated first."""
        entries = topk_graph.rows_of(self.splits, self.visitor_ids.places(visitor_ids))
        most, each = _counts(k, tf.shape(visitor_ids)[0])
        found = topk_graph.best_of_each(
            _wide(topk_graph.take(entries, self.history)), topk_graph.take(entries, self.ratings), most
        )
        answer = _answer("contentIds", self.item_ids, *found, each)
        answer["ratings"] = answer.pop("scores")
        return answer | {"total": tf.cast(entries.row_lengths(), tf.int32)}


def _wide(places: tf.RaggedTensor) -> tf.RaggedTensor:
    return tf.cast(places, tf.int64)


def _check(condition: tf.Tensor, message: str) -> tf.Operation:
    return tf.debugging.Assert(condition, [message])


def _counts(k: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """k of any rank -> the greatest, and one a row."""
    flat = tf.reshape(k, [-1])
    fits = (tf.size(flat) == 1) | (tf.size(flat) == rows)
    checks = [_check(tf.reduce_all(flat >= 1), "k must be at least 1"), _check(fits, "give one k, or one a row")]
    with tf.control_dependencies(checks):
        each = tf.broadcast_to(tf.identity(flat), rows[None])
    return tf.reduce_max(tf.concat([each, [1]], 0)), each


def _answer(name: str, ids: Ids, places: tf.Tensor, scores: tf.Tensor, each: tf.Tensor) -> dict[str, tf.Tensor]:
    """Ids and scores [b, k], and how many of each row count; beyond them stand an empty id and 0."""
    count = tf.minimum(tf.reduce_sum(tf.cast(places >= 0, tf.int32), 1), each)
    given = tf.sequence_mask(count, tf.shape(places)[1])
    return {
        name: ids.ids(tf.where(given, places, NONE)),
        "scores": tf.where(given, scores, 0.0),
        "count": count,
    }
