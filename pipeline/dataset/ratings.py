"""Ratings from amounts, as a TensorFlow graph that TF-Transform stores."""

from __future__ import annotations

import datetime

import tensorflow as tf

from artifacts.names import DAY_MS
from configs.settings import RatingSettings
from pipeline.interactions import ratings as formulas


def rate(amounts: tf.Tensor, median: tf.Tensor, settings: RatingSettings) -> tf.Tensor:
    """Return ratings float32[n] from dwells in ms, or from the ratings of a table, by the formula of the kind."""
    return formulas.rate(amounts, median, settings, tf.math)


def weigh(amounts: tf.Tensor, median: tf.Tensor) -> tf.Tensor:
    """Return the weights E float32[n] of entries in the loss: log2(1 + amount / median), so 1 for the median."""
    return formulas.weigh(tf.math.divide_no_nan(amounts, median), tf.math)


def decay(times_ms: tf.Tensor, last_day: datetime.date, half_life_days: float) -> tf.Tensor:
    """Return 2^(-age / half life), float32[n], with the age at the end of the last day; 1 for later times."""
    end = datetime.datetime.combine(last_day, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    age_ms = tf.maximum(tf.constant(round(end.timestamp() * 1000), tf.int64) - times_ms, 0)
    return tf.pow(2.0, -tf.cast(age_ms, tf.float32) / (half_life_days * DAY_MS))
