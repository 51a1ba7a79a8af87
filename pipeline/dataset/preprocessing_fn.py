"""preprocessing_fn: what TF-Transform learns from the interactions, and how they are encoded.

A block of interactions is a row of lists (artifacts/names.py), in which each id stands once with its count.
So TFT counts and looks up an id once a block, not once an interaction.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_transform as tft

from artifacts.names import (
    AMOUNT,
    CONTENT_ID,
    ITEM_COUNT,
    ITEM_ID,
    ITEM_PLACE,
    MEDIAN,
    RATING,
    TIME_MS,
    USER_ID,
    VISITOR_COUNT,
    VISITOR_ID,
    VISITOR_PLACE,
    VOCAB_ITEMS,
    VOCAB_USERS,
)
from configs.settings import DatasetSettings, RatingSettings
from pipeline.beam.block_store import BlockStore
from pipeline.dataset import vocabulary_analyzer
from pipeline.dataset.ratings import decay, rate


def _list(dtype: tf.DType) -> tf.io.RaggedFeature:
    """A row of ids or numbers; no sparse one, whose coordinates would be 16 bytes a number."""
    return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)


FEATURE_SPEC = {
    VISITOR_ID: _list(tf.string),
    VISITOR_COUNT: _list(tf.int64),
    VISITOR_PLACE: _list(tf.int64),
    CONTENT_ID: _list(tf.string),
    ITEM_COUNT: _list(tf.int64),
    ITEM_PLACE: _list(tf.int64),
    AMOUNT: _list(tf.float32),
    TIME_MS: _list(tf.int64),
}

_QUANTILE_ERROR = 1e-4  # share of the interactions by which the median's rank may be off

Tensors = dict[str, tf.Tensor | tf.RaggedTensor]


def make_preprocessing_fn(
    rating: RatingSettings, dataset: DatasetSettings, store: BlockStore, last_day: datetime.date | None = None
) -> Callable[[Tensors], Tensors]:
    """The preprocessing_fn for TFT; ratings decay with their age at the end of `last_day` (UTC).

    It takes one block, the features of FEATURE_SPEC with shape [1, None], and gives `userId` int64,
    `itemId` int64 and `rating` float32, [1, interactions], with -1 for an id that a minimum count left out;
    `time_ms` int64 [1, interactions] as it came; and `median` float32 [1].
    """

    def preprocessing_fn(inputs: Tensors) -> Tensors:
        amounts = inputs[AMOUNT]
        median = tft.quantiles(amounts.values, num_buckets=2, epsilon=_QUANTILE_ERROR)[0, 0]
        users = _encode(
            inputs, VISITOR_ID, VISITOR_COUNT, VISITOR_PLACE, VOCAB_USERS, dataset.min_items_per_user, store
        )
        items = _encode(inputs, CONTENT_ID, ITEM_COUNT, ITEM_PLACE, VOCAB_ITEMS, dataset.min_users_per_item, store)
        ratings = rate(amounts.values, median, rating)
        if rating.half_life_days and last_day:
            ratings *= decay(inputs[TIME_MS].values, last_day, rating.half_life_days)
        encoded = {USER_ID: users, ITEM_ID: items, RATING: ratings}
        outputs: Tensors = {
            name: tf.RaggedTensor.from_row_splits(values, amounts.row_splits, validate=False)
            for name, values in encoded.items()
        }
        outputs[TIME_MS] = inputs[TIME_MS]
        outputs[MEDIAN] = tf.fill([amounts.nrows()], median)
        return outputs

    return preprocessing_fn


def _encode(
    inputs: Mapping[str, tf.RaggedTensor],
    ids: str,
    counts: str,
    places: str,
    vocabulary: str,
    least: int,
    store: BlockStore,
) -> tf.Tensor:
    """The index of each interaction's id, int64[n]."""
    asset = vocabulary_analyzer.vocabulary(inputs[ids].values, inputs[counts].values, vocabulary, least, store)
    indices = tft.apply_vocabulary(inputs[ids].values, asset, default_value=-1)
    return tf.gather(indices, inputs[places].values)
