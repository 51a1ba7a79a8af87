"""Lengths and directions of rows, next to those of a whole table in float64."""

import numpy as np

from ranking import similarity


def test_lengths_are_those_of_the_whole_table():
    table = np.random.default_rng(0).standard_normal((10_001, 7), np.float32)
    table[4096] = 0
    expected = np.sqrt((table.astype(np.float64) ** 2).sum(1))
    expected[4096] = 1
    np.testing.assert_array_equal(similarity.norms(table), expected)
    assert similarity.norms(table[:0]).shape == (0,)


def test_directions_have_length_1_and_zeros_stay():
    table = np.array([[3, 4], [0, 0], [-1e-20, 0]], np.float32)
    np.testing.assert_array_equal(similarity.directions(table), np.array([[0.6, 0.8], [0, 0], [-1, 0]], np.float32))
    table = np.random.default_rng(1).standard_normal((5_000, 3), np.float32)
    expected = (table / similarity.norms(table)[:, None]).astype(np.float32)
    np.testing.assert_array_equal(similarity.directions(table), expected)
