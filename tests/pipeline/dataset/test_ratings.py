"""Ratings by kind, and how they age, against the formulas in plain Python."""

import datetime
import math

import numpy as np
import pytest
import tensorflow as tf

from configs.settings import RatingSettings
from pipeline.dataset.ratings import decay, rate

WORKED_EXAMPLE = {44652: 0.231208, 1214205: 1.000000, 32109: 0.166260, 47744: 0.247218, 10512: 0.054431}


def test_ratings_of_the_worked_example():
    amounts = np.array(list(WORKED_EXAMPLE), np.float32)
    found = rate(tf.constant(amounts), tf.constant(57937.0), RatingSettings(preset="course")).numpy()
    # The example's median is printed without its fraction (57937.4 leads to all six digits).
    np.testing.assert_allclose(found, list(WORKED_EXAMPLE.values()), rtol=1.1e-5)


@pytest.mark.parametrize(
    ("settings", "formula"),
    [
        (RatingSettings(kind="median", scale=0.5, cap=0.8), lambda d: min(0.8, 0.5 * d / 3000)),
        (RatingSettings(), lambda d: min(1.0, 3 * d / 3000)),
        (RatingSettings(preset="course"), lambda d: min(1.0, 0.3 * d / 3000)),
        (RatingSettings(preset="course", scale=0.5), lambda d: min(1.0, 0.5 * d / 3000)),
        (RatingSettings(kind="log", epsilon=500), lambda d: math.log(1 + d / 500)),
        (RatingSettings(kind="linear"), lambda d: d),
        (RatingSettings(kind="linear", scale=0.25), lambda d: 0.25 * d),
        (RatingSettings(kind="binary"), lambda d: 1.0),
    ],
    ids=lambda value: value.kind if isinstance(value, RatingSettings) else "",
)
def test_every_kind_of_rating(settings, formula):
    dwells = [1.0, 999.0, 2999.0, 3000.0, 8000.0]
    found = rate(tf.constant(dwells), tf.constant(3000.0), settings).numpy()
    np.testing.assert_allclose(found, [formula(dwell) for dwell in dwells], rtol=1e-6)


def test_an_ordinal_answer_is_a_rating_already():
    answers = RatingSettings(kind="ordinal", ordinal={"bad": 1, "good": 5}, scale=3)
    assert rate(tf.constant([1.0, 5.0]), tf.constant(3.0), answers).numpy().tolist() == [1, 5]


def test_a_rating_halves_with_each_half_life_before_the_end_of_the_last_day():
    day = 86_400_000
    end = int(datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC).timestamp()) * 1000
    ages = np.array([0, day // 2, day, 3 * day, 30 * day])
    found = decay(tf.constant(end - ages), datetime.date(2024, 2, 29), 3).numpy()
    np.testing.assert_allclose(found, [0.5 ** (age / day / 3) for age in ages], rtol=1e-5)


def test_what_was_viewed_after_the_last_day_counts_in_full():
    end = int(datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC).timestamp()) * 1000
    assert decay(tf.constant([end + 1, end + 10**10]), datetime.date(2024, 2, 29), 3).numpy().tolist() == [1, 1]
