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

from artifacts import names
from configs.settings import DatasetSettings, RatingSettings
from pipeline.beam.block_store import BlockStore
from pipeline.dataset import vocabulary_analyzer
from pipeline.dataset.ratings import decay, rate, weigh

# A list of ids or numbers is ragged; as a sparse one it would add coordinates of 16 bytes per number.
_DTYPES = {pa.large_binary(): tf.string, pa.int64(): tf.int64, pa.float32(): tf.float32}
_VISITORS = (names.VISITOR_ID, names.VISITOR_COUNT, names.VISITOR_PLACE)
_ITEMS = (names.CONTENT_ID, names.ITEM_COUNT, names.ITEM_PLACE)
_QUANTILE_ERROR = 1e-4  # the error of the median's rank, as a share of the interactions

Tensors = dict[str, tf.Tensor | tf.RaggedTensor]


def feature_spec(block: pa.Schema) -> dict[str, tf.io.RaggedFeature]:
    """Return the features of a block, BLOCK or MARKED_BLOCK of pipeline.interactions.blocks."""
    return {
        field.name: tf.io.RaggedFeature(_DTYPES[field.type.value_type], row_splits_dtype=tf.int64) for field in block
    }


def make_preprocessing_fn(
    rating: RatingSettings, dataset: DatasetSettings, store: BlockStore, last_day: datetime.date | None = None
) -> Callable[[Tensors], Tensors]:
    """Return the preprocessing_fn; ratings decay with their age at the end of `last_day` (UTC).

    Its input is one block, the features of `feature_spec` with shape [1, None]. It returns `userId` int64, `itemId`
    int64 and `rating` float32, [1, interactions], with -1 for an id that a minimum count left out; `time_ms` int64
    [1, interactions], unchanged, and `again`, if the block has it; `median` float32 [1]; and, by `rating.weight`,
    `weight` float32 [1, interactions].
    """

    def preprocessing_fn(inputs: Tensors) -> Tensors:
        amounts = inputs[names.AMOUNT]
        median = tft.quantiles(amounts.values, num_buckets=2, epsilon=_QUANTILE_ERROR)[0, 0]
        users = _encode(inputs, _VISITORS, names.VOCAB_USERS, dataset.min_items_per_user, store)
        items = _encode(inputs, _ITEMS, names.VOCAB_ITEMS, dataset.min_users_per_item, store)
        ratings = rate(amounts.values, median, rating)
        if rating.half_life_days and last_day:
            ratings *= decay(inputs[names.TIME_MS].values, last_day, rating.half_life_days)
        encoded = {names.USER_ID: users, names.ITEM_ID: items, names.RATING: ratings}
        if rating.weight == "log":
            encoded[names.WEIGHT] = weigh(amounts.values, median)
        outputs: Tensors = {
            name: tf.RaggedTensor.from_row_splits(values, amounts.row_splits, validate=False)
            for name, values in encoded.items()
        }
        outputs |= {name: inputs[name] for name in (names.TIME_MS, names.AGAIN) if name in inputs}
        outputs[names.MEDIAN] = tf.fill([amounts.nrows()], median)
        return outputs

    return preprocessing_fn


def _encode(
    inputs: Mapping[str, tf.RaggedTensor], features: Sequence[str], vocabulary: str, least: int, store: BlockStore
) -> tf.Tensor:
    """Return the index of each interaction's id, int64[n]; features: ids, counts and places."""
    ids, counts, places = (inputs[name].values for name in features)
    asset = vocabulary_analyzer.vocabulary(ids, counts, vocabulary, least, store)
    return tf.gather(tft.apply_vocabulary(ids, asset, default_value=-1), places)
