"""Parts of the benchmarks: the loss that judges both sides, and a split that leaves test alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.wals import search, sides
from tests.support.oracles import DenseWals


@pytest.fixture(scope="module")
def matrix():
    return sp.csr_matrix((np.random.default_rng(3).random((60, 45)) < 0.2).astype(np.float32))


def test_the_loss_of_both_sides_is_the_dense_one(matrix):
    rng, dense = np.random.default_rng(4), matrix.toarray()
    users, items = rng.standard_normal((60, 5)), rng.standard_normal((45, 5))
    weights = np.full(60, sides.CONFIDENCE - 1)
    oracle = DenseWals(dense != 0, dense, weights, np.ones(45), 1.0, sides.LAMBDA)
    assert sides.loss(matrix, users, items) == pytest.approx(oracle.loss(users, items)[0], rel=1e-9)


def test_the_search_holds_out_a_fifth_of_each_row_and_nothing_twice(matrix):
    train, held = search.hold_out(matrix)
    np.testing.assert_array_equal((train + held).toarray(), matrix.toarray())
    assert train.multiply(held).nnz == 0
    np.testing.assert_array_equal(np.diff(held.indptr), np.diff(matrix.indptr) // 5)
    assert train.has_sorted_indices and (search.hold_out(matrix, seed=1)[1] != held).nnz


def test_the_ridge_is_that_of_a_mean_row(matrix):
    point = search.Point(k=4, w0=0.1, ridge=2.0, nu=0.7)
    entries = matrix.nnz / 60
    assert point.regularization(matrix) * (entries + 0.1 * 45) ** 0.7 == pytest.approx(2.0)


def test_a_search_trial_keeps_its_best_pass(matrix):
    train, held = search.hold_out(matrix)
    found = search.try_out(search.Point(k=4, w0=0.1, ridge=1.0, nu=0.0, popularity=0.3), train, held, passes=6)
    assert found["sum"] == pytest.approx(max(found["sums"])) == pytest.approx(found["recall"] + found["ndcg"])
    assert found["passes"] == 1 + int(np.argmax(found["sums"])) and len(found["sums"]) <= 6
