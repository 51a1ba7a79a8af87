"""The preprocessing_fn of features: attributes -> sparse rows, with what the analysis of all rows of a side learns.

Its inputs are dense: text is a string, empty if it is missing; a number is a float32, NaN if it is missing; an
embedding is float32 [d], all 0 if it is missing. So the graph also serves a single item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from artifacts.features.fields import Field, input_names
from artifacts.names import INDICES, KEY, VALUES
from configs.settings.features import OF_WORDS, FeatureSettings
from pipeline.beam.block_store import BlockStore
from pipeline.dataset.features import value_counts
from pipeline.dataset.features.value_counts import Counted, Counting, Values
from pipeline.dataset.features.words import chosen, parts, trimmed, words

ACCOUNT = "account"
DROPPED = 2  # numbers of the account per field behind its size: `Counted.dropped`
_QUANTILE_ERROR = 1e-3
_LOG_UNIT = 1 << 20  # logarithms are added up as whole numbers, so that their order does not matter
_PRICE_STEPS, _MOST_STEPS = 2, 6  # buckets per doubling of the price, and buckets on each side of the mean
_MOST_AGE = 12  # buckets of the age: below a day, below 3, 7, 15, ... and above 11 years

Tensors = dict[str, tf.Tensor | tf.RaggedTensor]


class Entries(NamedTuple):
    """Features of some rows of a field. The first feature of a field states that the attribute is missing."""

    rows: tf.Tensor  # int64 [e]
    features: tf.Tensor  # int64 [e], from 0
    values: tf.Tensor  # float64 [e]
    size: tf.Tensor  # int64, the number of features


class Pairs(NamedTuple):
    """The distinct values of a block, and which rows have which."""

    distinct: tf.Tensor  # string [d]
    rows: tf.Tensor  # int64 [p]
    places: tf.Tensor  # int64 [p], among the distinct values
    counts: tf.Tensor  # int64 [p], how often the row has the value


def feature_spec(fields: Sequence[Field]) -> dict[str, tf.io.FixedLenFeature]:
    """Return the inputs: the row's key, and the attributes by their `input_names`."""
    spec = {KEY: tf.io.FixedLenFeature([], tf.int64)}
    for name, field in zip(input_names(fields), fields, strict=True):
        is_text = field.kind in OF_WORDS
        shape = [field.dimension] if field.dimension else []
        spec[name] = tf.io.FixedLenFeature(shape, tf.string if is_text else tf.float32)
    return spec


def make_preprocessing_fn(
    fields: tuple[Field, ...], settings: FeatureSettings, store: BlockStore
) -> Callable[[Tensors], Tensors]:
    """Return the preprocessing_fn of a block of r rows, the features of `feature_spec`.

    It returns the rows: `key` int64 [r], `indices` int64 and `values` float32, both ragged [r, None]; and `account`
    int64 [1 row of numbers, then empty ones]: three numbers per field, its size and `Counted.dropped`.
    """

    def preprocessing_fn(inputs: Tensors) -> Tensors:
        size = tf.size(inputs[KEY], tf.int64)
        by_name = {field.name: inputs[name] for name, field in zip(input_names(fields), fields, strict=True)}
        texts = {n: _pairs(*_split(f, by_name[f.name])) for n, f in enumerate(fields) if f.kind in OF_WORDS}
        if settings.drops_rare_buckets:
            texts |= {n: _pairs(*_bucket_names(f, by_name[f.name], settings.buckets)) for n, f in _bucketed(fields)}
        prices = {
            n: _prices(by_name[f.name], by_name.get(f.within or "")) for n, f in enumerate(fields) if f.kind == "price"
        }
        total = tft.sum(tf.ones_like(inputs[KEY]))
        bounds = {number: _counting(number, settings) for number in texts}
        bounds |= {number: _counting(number, None) for number in prices}
        values = {number: _rows_of(pairs) for number, pairs in texts.items()}
        values |= {number: _sums_of(price) for number, price in prices.items()}
        counted = value_counts.count({bounds[number]: block for number, block in values.items()}, store)
        entries, dropped = [], []
        for number, field in enumerate(fields):
            attribute = by_name[field.name]
            if number in texts:
                made = _tf_idf(texts[number], counted[bounds[number]], total, size)
            elif field.kind == "price":
                made = _price_buckets(prices[number], counted[bounds[number]])
            elif field.kind == "number":
                made = _quantiles(attribute, settings.buckets)
            elif field.kind == "time":
                made = _age_buckets(attribute)
            else:
                made = _numbers(attribute, field.dimension)
            entries.append(made)
            dropped.append(counted[bounds[number]].dropped if number in texts else tf.zeros([DROPPED], tf.int64))
        return {KEY: inputs[KEY], **_joined(fields, entries, size), ACCOUNT: _account(entries, dropped, size)}

    return preprocessing_fn


def _counting(number: int, settings: FeatureSettings | None) -> Counting:
    """Return the bounds of the values of a field, by its number; the categories of prices have the default's limit."""
    least, limit = (settings.least, settings.max_values) if settings else (1, FeatureSettings().max_values)
    return Counting(f"values_{number}", least, limit)


def _split(field: Field, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return words(texts) if field.kind == "text" else parts(texts, field.separator)


def _bucketed(fields: Sequence[Field]) -> Iterator[tuple[int, Field]]:
    return ((number, field) for number, field in enumerate(fields) if field.kind in ("number", "time"))


def _bucket_names(field: Field, numbers: tf.Tensor, buckets: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the bucket of each number or age as a text, so that rare buckets are dropped as rare values are."""
    entries = _quantiles(numbers, buckets) if field.kind == "number" else _age_buckets(numbers)
    rows, features = chosen(entries.features > 0, entries.rows, entries.features)
    return rows, tf.strings.as_string(features)


def _pairs(rows: tf.Tensor, values: tf.Tensor) -> Pairs:
    """Return the distinct pairs of a row and a value: int64 [v] and string [v]."""
    distinct, places = tf.unique(values, tf.int64)
    size = tf.size(distinct, tf.int64)
    codes, _, counts = tf.unique_with_counts(rows * size + places, tf.int64)
    size = tf.maximum(size, 1)
    return Pairs(distinct, codes // size, codes % size, counts)


def _rows_of(pairs: Pairs) -> Values:
    rows = tf.math.unsorted_segment_sum(tf.ones_like(pairs.places), pairs.places, tf.size(pairs.distinct))
    return Values(pairs.distinct, rows, tf.zeros_like(rows))


def _tf_idf(pairs: Pairs, known: Counted, total: tf.Tensor, size: tf.Tensor) -> Entries:
    """Return (1 + ln tf) (1 + ln((1 + n) / (1 + df))): n items, of which df have the value; it is tf times in the row.

    This is scikit-learn's TfidfTransformer with sublinear_tf and smooth_idf.
    """
    index = tft.apply_vocabulary(pairs.distinct, known.path, default_value=-1)
    frequency = tf.gather(known.counts, tf.maximum(index, 0))
    index = tf.where(frequency > 0, index, -1)  # the placeholder of an empty vocabulary is in no row
    idf = 1 + tf.math.log(tf.cast(1 + total, tf.float64) / tf.cast(1 + frequency, tf.float64))
    features = tf.gather(index, pairs.places)
    values = (1 + tf.math.log(tf.cast(pairs.counts, tf.float64))) * tf.gather(idf, pairs.places)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(pairs.rows), pairs.rows, size)
    missing = tf.squeeze(tf.where(counts == 0), 1)
    rows, features, values = chosen(features >= 0, pairs.rows, features, values)
    return _with_missing(rows, features, values, missing, tf.size(known.counts, tf.int64))


def _with_missing(
    rows: tf.Tensor, features: tf.Tensor, values: tf.Tensor, missing: tf.Tensor, size: tf.Tensor | int
) -> Entries:
    return Entries(
        tf.concat([rows, missing], 0),
        tf.concat([features + 1, tf.zeros_like(missing)], 0),
        tf.concat([values, tf.ones_like(missing, tf.float64)], 0),
        tf.cast(size, tf.int64) + 1,
    )


def _one_of(buckets: tf.Tensor, is_known: tf.Tensor, size: tf.Tensor | int) -> Entries:
    """Return one feature per row, the bucket int64 [r], or that the attribute is missing."""
    rows, missing = (tf.squeeze(tf.where(mask), 1) for mask in (is_known, ~is_known))
    features = tf.gather(tf.cast(buckets, tf.int64), rows)
    return _with_missing(rows, features, tf.ones_like(rows, tf.float64), missing, size)


def _quantiles(numbers: tf.Tensor, buckets: int) -> Entries:
    is_known = tf.math.is_finite(numbers)
    bounds = tft.quantiles(*chosen(is_known, numbers), buckets, epsilon=_QUANTILE_ERROR)
    return _one_of(tf.searchsorted(bounds[0], numbers, side="right"), is_known, buckets)


def _age_buckets(days: tf.Tensor) -> Entries:
    """Return buckets of ages in days that double: floor(log2(1 + age))."""
    is_known = tf.math.is_finite(days)
    doublings = tf.math.log1p(tf.maximum(tf.where(is_known, days, 0), 0)) / math.log(2)
    return _one_of(tf.minimum(tf.floor(doublings), _MOST_AGE), is_known, _MOST_AGE + 1)


class _Price(NamedTuple):
    """Prices of the rows of a block, and their categories."""

    categories: tf.Tensor  # string [d], the distinct ones
    places: tf.Tensor  # int64 [r]
    logs: tf.Tensor  # float64 [r], log2 of the price; 0 where it is not above 0
    is_above: tf.Tensor  # bool [r]
    is_known: tf.Tensor  # bool [r]


def _prices(prices: tf.Tensor, categories: tf.Tensor | None) -> _Price:
    """Return prices float32 [r] and their categories string [r]; without categories, all are of one."""
    prices = tf.cast(prices, tf.float64)
    categories = tf.fill(tf.shape(prices), "") if categories is None else categories
    distinct, places = tf.unique(tf.strings.join(["=", trimmed(categories)]), tf.int64)  # no line of a file is empty
    is_known = tf.math.is_finite(prices) & (prices >= 0)
    is_above = is_known & (prices > 0)
    logs = tf.math.log(tf.where(is_above, prices, 1)) / math.log(2)
    return _Price(distinct, places, logs, is_above, is_known)


def _sums_of(price: _Price) -> Values:
    size = tf.size(price.categories)
    rows = tf.math.unsorted_segment_sum(tf.cast(price.is_above, tf.int64), price.places, size)
    whole = tf.cast(tf.round(price.logs * _LOG_UNIT), tf.int64)  # 0 where the price is not above 0
    return Values(price.categories, rows, tf.math.unsorted_segment_sum(whole, price.places, size))


def _price_buckets(price: _Price, known: Counted) -> Entries:
    """Return buckets of the price over the geometric mean of its category, or of all where the category is unknown.

    The first bucket is of the price 0.
    """
    index = tft.apply_vocabulary(price.categories, known.path, default_value=-1)
    counts, sums = (tf.cast(column, tf.float64) for column in (known.counts, known.sums))
    overall = tf.reduce_sum(sums) / tf.maximum(tf.reduce_sum(counts), 1)
    means = tf.where(counts > 0, sums / tf.maximum(counts, 1), overall)
    mean = tf.where(index >= 0, tf.gather(means, tf.maximum(index, 0)), overall) / _LOG_UNIT
    steps = tf.round((price.logs - tf.gather(mean, price.places)) * _PRICE_STEPS)
    buckets = tf.clip_by_value(steps, -_MOST_STEPS, _MOST_STEPS) + _MOST_STEPS + 1
    return _one_of(tf.where(price.is_above, buckets, 0), price.is_known, 2 * _MOST_STEPS + 2)


def _numbers(embedding: tf.Tensor, dimension: int) -> Entries:
    """Return the numbers of embeddings as they are, without a feature for those that are missing."""
    positions = tf.where(embedding != 0)
    values = tf.cast(tf.gather_nd(embedding, positions), tf.float64)
    return Entries(positions[:, 0], positions[:, 1], values, tf.constant(dimension, tf.int64))


def _joined(fields: Sequence[Field], entries: Sequence[Entries], size: tf.Tensor) -> Tensors:
    """Return the features of all fields, each field of length 1 times its weight, and the rows of length 1.

    A row of which nothing is known but what is missing is empty.
    """
    first, rows, columns, values, is_value = tf.constant(0, tf.int64), [], [], [], []
    for field, made in zip(fields, entries, strict=True):
        rows.append(made.rows)
        columns.append(first + made.features)
        values.append(_normalised(made.rows, made.values, size) * field.weight)
        has_missing = field.kind != "embedding"
        is_value.append((made.features > 0) if has_missing else tf.ones_like(made.features, tf.bool))
        first += made.size
    row, column, value = (tf.concat(parts, 0) for parts in (rows, columns, values))
    known = tf.math.unsorted_segment_sum(tf.cast(tf.concat(is_value, 0), tf.int64), row, size)
    row, column, value = chosen(tf.gather(known, row) > 0, row, column, value)
    order = tf.argsort(row * first + column)
    row, column, value = (tf.gather(entry, order) for entry in (row, column, value))
    value = tf.cast(_normalised(row, value, size), tf.float32)
    splits = tf.searchsorted(row, tf.range(size + 1), out_type=tf.int64)
    return {
        INDICES: tf.RaggedTensor.from_row_splits(column, splits, validate=False),
        VALUES: tf.RaggedTensor.from_row_splits(value, splits, validate=False),
    }


def _normalised(rows: tf.Tensor, values: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return float64 [e], each row's values divided by their length."""
    squares = tf.math.unsorted_segment_sum(values * values, rows, size)
    return values / tf.sqrt(tf.gather(squares, rows))


def _account(entries: Sequence[Entries], dropped: Sequence[tf.Tensor], size: tf.Tensor) -> tf.RaggedTensor:
    """Return the numbers of all fields in the first row, and empty rows after it; nothing for an empty block."""
    numbers = tf.concat([tf.concat([[made.size], lost], 0) for made, lost in zip(entries, dropped, strict=True)], 0)
    count = tf.minimum(size, 1) * tf.size(numbers, tf.int64)
    ends = tf.fill([tf.maximum(size, 0)], count)
    splits = tf.concat([tf.zeros([1], tf.int64), ends], 0)
    return tf.RaggedTensor.from_row_splits(numbers[:count], splits, validate=False)
