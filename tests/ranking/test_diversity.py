"""Caps on categories, and popularity, against sorting in plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking import popularity
from ranking.diversity import Cap, capped_top_k


def plainly(scores, left_out, k, categories, most):
    """Return the first k items of each row by score and index, as far as the caps allow them."""
    lists = []
    for row, without in zip(scores, left_out, strict=True):
        taken, answer = Counter(), []
        for item in sorted(set(range(len(row))) - without, key=lambda item: (-row[item], item)):
            if len(answer) < k and (categories[item] < 0 or taken[categories[item]] < most):
                answer.append(item)
                taken[categories[item]] += 1
        lists.append(answer)
    return lists


def rows_of(left_out: list[set[int]]) -> SparseRows:
    columns = np.array([item for items in left_out for item in sorted(items)], np.int32)
    indptr = np.cumsum([0] + [len(items) for items in left_out])
    return SparseRows(np.arange(len(left_out)), indptr, columns, np.ones(len(columns), "f"))


def test_a_cap_goes_down_the_order_as_far_as_needed():
    rng = np.random.default_rng(2)
    u, v = rng.standard_normal((40, 5)).astype("f"), rng.standard_normal((3000, 5)).astype("f")
    categories = np.where(np.arange(3000) < 2990, 0, np.arange(3000) % 4).astype(np.int32)
    best = capped_top_k(u, v, SparseRows.empty(40), 6, Cap(categories, 2), entries=5000)
    expected = plainly(u.astype("d") @ v.T.astype("d"), [set()] * 40, 6, categories, 2)
    assert [[item for item in row if item >= 0] for row in best.indices.tolist()] == expected
    np.testing.assert_allclose(best.scores, np.take_along_axis(u @ v.T, best.indices, 1), rtol=1e-5)


@pytest.mark.parametrize("most", [1, 3])
def test_ties_and_left_out_items_under_a_cap(most):
    """Whole numbers, so that scores are exact and ties are common."""
    rng = np.random.default_rng(most)
    u, v = (rng.integers(-2, 3, (n, 3)).astype("f") for n in (30, 80))
    categories = rng.integers(-1, 6, 80).astype(np.int32)
    left_out = [set(rng.choice(80, rng.integers(0, 80), replace=False).tolist()) for _ in u]
    best = capped_top_k(u, v, rows_of(left_out), 9, Cap(categories, most), entries=100)
    expected = plainly(u @ v.T, left_out, 9, categories, most)
    assert [[item for item in row if item >= 0] for row in best.indices.tolist()] == expected
    values = rng.integers(0, 5, 80).astype("f")
    for cap, limit in ((None, 80), (Cap(categories, most), most)):
        best = popularity.first_k(popularity.order(values), values, rows_of(left_out), 9, cap)
        expected = plainly(np.tile(values, (30, 1)), left_out, 9, categories, limit)
        assert [[item for item in row if item >= 0] for row in best.indices.tolist()] == expected
        given = best.indices >= 0
        np.testing.assert_array_equal(best.scores[given], values[best.indices[given]])
        assert np.isneginf(best.scores[~given]).all()
