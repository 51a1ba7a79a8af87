"""The SavedModel's signatures: string ids in, string ids out. docs/serving.md describes them for callers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.saved_model.answers_graph import Answers

WITH_ITEMS = "_with_items"  # end of the name of a signature that takes new items
K = tf.TensorSpec(None, tf.int32, "k")  # of any rank: one for all rows, or one per row
_VISITORS = tf.TensorSpec([None], tf.string, "visitorId")
_ITEMS = tf.TensorSpec([None], tf.string, "contentId")
HISTORY = tf.TensorSpec([None, None], tf.string, "contentIds"), tf.TensorSpec([None, None], tf.float32, "ratings")
_ROWS = tf.TensorSpec([None, None], tf.int64, "indices"), tf.TensorSpec([None, None], tf.float32, "values")

Outputs = dict[str, tf.Tensor]


def _signature(*specs: tf.TensorSpec) -> Any:
    return tf.function(input_signature=specs, autograph=False)


class Recommender(Answers):
    """The model's signatures."""

    @_signature(_VISITORS, K)
    def recommend(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the best items for each visitor."""
        return self.for_visitors(visitor_ids, k, self.new_rows())

    @_signature(*HISTORY, K)
    def recommend_from_history(self, content_ids: tf.Tensor, ratings: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the best items for visitors without a row in the dataset, from their ratings."""
        return self.for_histories(content_ids, ratings, k, self.new_rows())

    @_signature(*_ROWS)
    def project(self, indices: tf.Tensor, values: tf.Tensor) -> Outputs:
        """Return the factors of rows of itemIds."""
        return self.projected(indices, values)

    @_signature(_ITEMS, K)
    def audience(self, content_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the visitors with the greatest scores for each item."""
        return self.for_items(content_ids, k, self.new_rows())

    @_signature(_ITEMS, K)
    def similar_items(self, content_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the items of the greatest cosine with each item; none for an item that the model lacks."""
        return self.like_items(content_ids, k, self.item_norms, self.new_rows())

    @_signature(_ITEMS, K)
    def similar_items_dot(self, content_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the items of the greatest dot product with each item, which favours popular items."""
        return self.like_items(content_ids, k, None, self.new_rows())

    @_signature(_VISITORS, K)
    def similar_visitors(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the visitors of the greatest cosine with each visitor; none for a visitor that the model lacks."""
        return self.like(visitor_ids, k, self.visitor_ids, "visitorIds", self.users, self.user_norms)

    @_signature(_VISITORS, K)
    def similar_visitors_dot(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the visitors of the greatest dot product with each visitor, which favours those with many ratings."""
        return self.like(visitor_ids, k, self.visitor_ids, "visitorIds", self.users)

    @_signature(_VISITORS, _ITEMS, K)
    def explanation(self, visitor_ids: tf.Tensor, content_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the visitor's items of the greatest contributions to the projected score of an item."""
        return self.explained(visitor_ids, content_ids, k, self.new_rows())

    @_signature(_VISITORS, K)
    def history_of(self, visitor_ids: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Return the items that each visitor has, the best rated first."""
        return self.histories_of(visitor_ids, k)

    def exported(self) -> dict[str, Any]:
        """Return the function of each signature, by name."""
        return {
            "serving_default": self.recommend,
            "recommend": self.recommend,
            "recommend_from_history": self.recommend_from_history,
            "audience": self.audience,
            "similar_items": self.similar_items,
            "similar_items_dot": self.similar_items_dot,
            "similar_visitors": self.similar_visitors,
            "similar_visitors_dot": self.similar_visitors_dot,
            "explanation": self.explanation,
            "history": self.history_of,
            "project": self.project,
        }

    def with_items(self) -> dict[str, Any]:
        """Return the signatures about items that also take new items: newContentIds [e] and newFactors [e, d]."""
        names = tf.TensorSpec([None], tf.string, "newContentIds")
        new = names, tf.TensorSpec([None, self.items.shape[1]], tf.float32, "newFactors")

        def function(answer: Any, *specs: tf.TensorSpec) -> Any:
            @_signature(*specs, K, *new)
            def answered(*inputs: tf.Tensor) -> Outputs:
                *asked, names, factors = inputs
                return answer(*asked, new=self.new_rows(names, factors))

            return answered

        def like(norms: Any) -> Any:
            return lambda names, k, new: self.like_items(names, k, norms, new)

        functions = {
            "recommend": function(self.for_visitors, _VISITORS),
            "recommend_from_history": function(self.for_histories, *HISTORY),
            "audience": function(self.for_items, _ITEMS),
            "similar_items": function(like(self.item_norms), _ITEMS),
            "similar_items_dot": function(like(None), _ITEMS),
            "explanation": function(self.explained, _VISITORS, _ITEMS),
        }
        return {f"{name}{WITH_ITEMS}": answered for name, answered in functions.items()}
