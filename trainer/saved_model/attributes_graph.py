"""Items and visitors that come later, within the SavedModel's graph: their factors and answers, from attributes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from artifacts.names import ITEM, USER
from ranking import cold_start
from ranking.attributes.prior import Prior
from ranking.attributes.segments import Segments
from ranking.fold_in import Projection
from trainer.als.wals import Side
from trainer.saved_model.answers_graph import Answers
from trainer.saved_model.entries import answered, counts
from trainer.saved_model.fold_in_graph import FoldIn
from trainer.saved_model.id_lookup import Ids
from trainer.saved_model.signatures import HISTORY, K


class Regression(NamedTuple):
    """The regression of a model, what the factors of new items are multiplied by, and the features that tell of them.

    telling: bool [f], see `ranking.attributes.newest`.
    """

    prior: Prior
    scale: float
    telling: np.ndarray

    @classmethod
    def of_visitors(cls, prior: Prior) -> Regression:
        """Return the regression of visitors, whose features all tell."""
        return cls(prior, 1.0, np.ones(len(prior.table) - 1, bool))


class Features(tf.Module):
    """The features of a dataset's SavedModel, and the regression on them."""

    def __init__(self, name: str, features_fn: str, signature: str, regression: Regression):
        """Load the features; signature: of that SavedModel."""
        super().__init__(name=name)
        self._features, self._scale = tf.saved_model.load(features_fn), regression.scale
        self._table = tf.Variable(regression.prior.table, trainable=False, name="regression")
        self._function = self._features.signatures[signature]
        self._specs: dict[str, tf.TensorSpec] = self._function.structured_input_signature[1]
        self._names = sorted(self._specs)
        self._tells = tf.constant(regression.telling.astype(np.int64))

    def _known(self, rows: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the number of features that tell of each row, int64 [n]."""
        tells = tf.gather(self._tells, rows["indices"])
        return tf.reduce_sum(tf.RaggedTensor.from_row_splits(tells, rows["row_splits"]), 1)

    def _with(self, answer: Any, *specs: tf.TensorSpec) -> Any:
        """Return a function of the attributes and of other inputs; one that an attribute's name has begins with _."""
        others = [
            tf.TensorSpec(spec.shape, spec.dtype, f"_{spec.name}") if spec.name in self._specs else spec
            for spec in specs
        ]
        count = len(self._names)

        @tf.function(input_signature=[*(self._specs[name] for name in self._names), *others], autograph=False)
        def answered(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = self._function(**dict(zip(self._names, inputs[:count], strict=True)))
            return answer(rows, *inputs[count:])

        return answered

    def _factors(self, rows: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the factors float32 [n, d] of rows of features, as `ranking.attributes.prior` computes them."""
        weights = tf.cast(tf.gather(self._table, rows["indices"]), tf.float64)
        weights *= tf.cast(rows["values"], tf.float64)[:, None]
        sums = tf.math.segment_sum(weights, tf.ragged.row_splits_to_segment_ids(rows["row_splits"]))
        missing = tf.size(rows["row_splits"]) - 1 - tf.shape(sums)[0]  # rows at the end without features
        sums = tf.pad(sums, [[0, missing], [0, 0]]) + tf.cast(self._table[-1], tf.float64)
        return tf.cast(sums, tf.float32) * tf.constant(self._scale, tf.float32)


class FromAttributes(Features):
    """Items by their attributes, and the visitors who may view them."""

    def __init__(self, features_fn: str, regression: Regression, answers: Answers, users: Projection, items: Side):
        """Load the features; users: those of `answers`, with their weights; items: with the weights of known items."""
        super().__init__("from_attributes", features_fn, ITEM.features, regression)
        self.answers, self.viewers = answers, FoldIn(answers.users, users)
        self._weight, self._exponent = weights_by_views(items.weights, items.counts)

    def exported(self) -> dict[str, Any]:
        """Return the signatures by name: they take the attributes by name, as the dataset's own signature does."""
        return {
            "item_from_attributes": self._with(self._audience, K),
            "factors_from_attributes": self._with(
                self._with_views,
                tf.TensorSpec([None, None], tf.string, "visitorIds"),
                tf.TensorSpec([None, None], tf.float32, "ratings"),
            ),
        }

    def _audience(self, rows: dict[str, tf.Tensor], k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the audience of each item; one without features is answered by the mean item."""
        has_some = self._known(rows) > 0
        factors = tf.where(has_some[:, None], self._factors(rows), self.answers.mean_item[None, :])
        rule = tf.where(has_some, cold_start.ATTRIBUTES, cold_start.MEAN_ITEM)
        return self.answers.audience_of_factors(factors, rule, k) | {"factors": factors}

    def _with_views(
        self, rows: dict[str, tf.Tensor], visitor_ids: tf.Tensor, ratings: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return the factors of items from attributes, and from the views since, as `ranking.attributes.prior.fold_in`.

        visitor_ids, ratings: [b, n], padded with empty ids; visitors that the model does not have are left out.
        """
        prior = tf.where(self._known(rows)[:, None] > 0, self._factors(rows), 0.0)
        users = self.answers.visitor_ids.indices(visitor_ids)
        is_known = (users >= 0) & (tf.strings.length(visitor_ids) > 0)
        history, given = (tf.ragged.boolean_mask(values, is_known) for values in (users, ratings))
        count = history.row_lengths()
        own = self._weight * tf.maximum(tf.cast(count, tf.float64), 1) ** -self._exponent
        factors = self.viewers.from_prior(prior, history, given, own, tf.where(count > 0)[:, 0])
        return {"factors": factors, "features": tf.cast(self._known(rows), tf.int32), "views": tf.cast(count, tf.int32)}


class VisitorsFromAttributes(Features):
    """Visitors who are not in the dataset, by their attributes, and by the views since."""

    def __init__(self, features_fn: str, prior: Prior | None, segments: Segments | None, answers: Answers):
        """Load the features; prior: the regression; without one, the lists of segments answer."""
        regression = Regression.of_visitors(prior or Prior(np.zeros((1, answers.items.shape[1]), np.float32)))
        super().__init__("visitors_from_attributes", features_fn, USER.features, regression)
        self.answers, self._segments = answers, None
        if segments:
            self._segments = SegmentLists(segments, answers.item_ids)

    def exported(self) -> dict[str, Any]:
        """Return the signature by name: it takes the attributes by name, as the dataset's own signature does."""
        return {"recommend_from_attributes": self._with(self._recommend, *HISTORY, K)}

    def _recommend(
        self, rows: dict[str, tf.Tensor], content_ids: tf.Tensor, ratings: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return the best items for each visitor; one without features is answered as by `recommend_from_history`."""
        if self._segments:
            return self._segments.among(
                self.answers.for_histories(content_ids, ratings, k, self.answers.new_rows()), rows, k
            )
        described = self._known(rows) > 0
        prior = tf.where(described[:, None], self._factors(rows), 0.0)
        return self.answers.for_histories(content_ids, ratings, k, self.answers.new_rows(), (prior, described))


class SegmentLists(tf.Module):
    """The most popular items of each segment of visitors."""

    def __init__(self, segments: Segments, ids: Ids):
        super().__init__(name="segments")
        self._first, self._size, self._ids = segments.first, len(segments.items), ids
        self._items = tf.Variable(segments.items, trainable=False, name="segment_items")
        self._scores = tf.Variable(segments.scores, trainable=False, name="segment_scores")

    def among(self, answer: dict[str, tf.Tensor], rows: dict[str, tf.Tensor], k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return answers in which the popularity in the segment is in place of that of all, where it is known."""
        columns = rows["indices"] - self._first
        inside = tf.where((columns >= 0) & (columns < self._size), columns, -1)
        segments = tf.reduce_max(tf.RaggedTensor.from_row_splits(inside, rows["row_splits"]), 1)
        is_known = (segments >= 0) & (answer["rule"] == cold_start.POPULARITY) & (answer["known"] == 0)
        _, each = counts(k, tf.shape(segments)[0])
        width = tf.shape(answer["contentIds"])[1]
        size = tf.minimum(self._items.shape[1], width)
        chosen = tf.maximum(segments, 0)
        items, scores = (tf.gather(table, chosen)[:, :size] for table in (self._items, self._scores))
        own = answered("contentIds", self._ids, items, scores, tf.minimum(each, size))
        padding = [[0, 0], [0, width - size]]
        names, points = tf.pad(own["contentIds"], padding), tf.pad(own["scores"], padding)
        return answer | {
            "contentIds": tf.where(is_known[:, None], names, answer["contentIds"]),
            "scores": tf.where(is_known[:, None], points, answer["scores"]),
            "count": tf.where(is_known, own["count"], answer["count"]),
            "rule": tf.where(is_known, cold_start.SEGMENT, answer["rule"]),
        }


def weights_by_views(weights: np.ndarray, views: np.ndarray) -> tuple[float, float]:
    """Return c and e, with which c n^-e is the weight C of an item of n views, by those of the known items."""
    weighs = (weights > 0) & (views > 0)
    if not weighs.any():
        return 0.0, 0.0
    logarithms, levels = np.log(views[weighs].astype(float)), np.log(weights[weighs].astype(float))
    spread = logarithms.var()
    exponent = -((logarithms - logarithms.mean()) * (levels - levels.mean())).mean() / spread if spread else 0.0
    return float(np.exp(levels.mean() + exponent * logarithms.mean())), float(exponent)
