"""A new item by its raw attributes, within the SavedModel's graph: features, factors, and its audience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ranking import cold_start
from ranking.attributes.prior import Prior

SIGNATURE = "item_features"  # of the SavedModel that the dataset has for features
_COUNT = "k"

Audience = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


class Regression(NamedTuple):
    """The regression of a model, and what the factors of new items are multiplied by."""

    prior: Prior
    scale: float


class FromAttributes(tf.Module):
    """The features of a dataset's SavedModel, and the regression on them."""

    def __init__(self, features_fn: str, regression: Regression):
        super().__init__(name="from_attributes")
        self._features = tf.saved_model.load(features_fn)
        self._table = tf.Variable(regression.prior.table, trainable=False, name="regression")
        self._scale = regression.scale

    def signature(self, mean_item: tf.Tensor, audience: Audience) -> Any:
        """Return a function of the attributes by name and `k`, to be exported: the audience of each item.

        An item without features is answered by the mean item. Attributes are what the dataset's own signature takes.
        """
        features = self._features.signatures[SIGNATURE]
        specs: dict[str, tf.TensorSpec] = features.structured_input_signature[1]
        names = sorted(specs)
        count = _COUNT if _COUNT not in specs else f"_{_COUNT}"

        @tf.function(
            input_signature=[*(specs[name] for name in names), tf.TensorSpec(None, tf.int32, count)], autograph=False
        )
        def item_from_attributes(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = features(**dict(zip(names, inputs[:-1], strict=True)))
            splits = rows["row_splits"]
            has_some = splits[1:] > splits[:-1]
            factors = tf.where(has_some[:, None], self._factors(rows), mean_item[None, :])
            rule = tf.where(has_some, cold_start.ATTRIBUTES, cold_start.MEAN_ITEM)
            return audience(factors, rule, inputs[-1]) | {"factors": factors}

        return item_from_attributes

    def _factors(self, rows: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the factors float32 [n, d] of rows of features, as `ranking.attributes.prior` computes them."""
        weights = tf.cast(tf.gather(self._table, rows["indices"]), tf.float64)
        weights *= tf.cast(rows["values"], tf.float64)[:, None]
        sums = tf.math.segment_sum(weights, tf.ragged.row_splits_to_segment_ids(rows["row_splits"]))
        missing = tf.size(rows["row_splits"]) - 1 - tf.shape(sums)[0]  # rows at the end without features
        sums = tf.pad(sums, [[0, missing], [0, 0]]) + tf.cast(self._table[-1], tf.float64)
        return tf.cast(sums, tf.float32) * tf.constant(self._scale, tf.float32)
