"""preprocessing_fn for TF-Transform: it learns two vocabularies and the median, and encodes and rates interactions.

A block of interactions is a row of lists (artifacts/names.py) that contains each id once, with its count. So TFT counts
and looks up an id once per block, not once per interaction.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
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
from pipeline.interactions.blocks import BLOCK

# A list of ids or numbers is ragged; as a sparse one it would add coordinates of 16 bytes per number.
_DTYPES = {pa.large_binary(): tf.string, pa.int64(): tf.int64, pa.float32(): tf.float32}
FEATURE_SPEC = {
    field.name: tf.io.RaggedFeature(_DTYPES[field.type.value_type], row_splits_dtype=tf.int64) for field in BLOCK
}
_VISITORS = (VISITOR_ID, VISITOR_COUNT, VISITOR_PLACE)
_ITEMS = (CONTENT_ID, ITEM_COUNT, ITEM_PLACE)
_QUANTILE_ERROR = 1e-4  # the error of the median's rank, as a share of the interactions

Tensors = dict[str, tf.Tensor | tf.RaggedTensor]


def make_preprocessing_fn(
    rating: RatingSettings, dataset: DatasetSettings, store: BlockStore, last_day: datetime.date | None = None
) -> Callable[[Tensors], Tensors]:
    """Return the preprocessing_fn; ratings decay with their age at the end of `last_day` (UTC).

    Its input is one block, the features of FEATURE_SPEC with shape [1, None]. It returns `userId` int64, `itemId` int64
    and `rating` float32, [1, interactions], with -1 for an id that a minimum count left out; `time_ms` int64
    [1, interactions], unchanged; and `median` float32 [1].
    """

    def preprocessing_fn(inputs: Tensors) -> Tensors:
        amounts = inputs[AMOUNT]
        median = tft.quantiles(amounts.values, num_buckets=2, epsilon=_QUANTILE_ERROR)[0, 0]
        users = _encode(inputs, _VISITORS, VOCAB_USERS, dataset.min_items_per_user, store)
        items = _encode(inputs, _ITEMS, VOCAB_ITEMS, dataset.min_users_per_item, store)
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
    inputs: Mapping[str, tf.RaggedTensor], names: Sequence[str], vocabulary: str, least: int, store: BlockStore
) -> tf.Tensor:
    """Return the index of each interaction's id, int64[n]; names: of the features of ids, counts and places."""
    ids, counts, places = (inputs[name].values for name in names)
    asset = vocabulary_analyzer.vocabulary(ids, counts, vocabulary, least, store)
    return tf.gather(tft.apply_vocabulary(ids, asset, default_value=-1), places)
