"""Fold-in and explanations against dense systems in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from ranking import explain
from ranking.fold_in import Objective, Projection
from tests.support.oracles import DenseWals


@pytest.mark.parametrize("nu", [0.0, 0.7])
@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_short_and_long_rows_solve_their_systems(lam, nu):
    rng = np.random.default_rng(0)
    ratings = np.where(rng.random((300, 50)) < rng.random((300, 1)), rng.random((300, 50)), 0)
    ratings[7], items = 0, rng.standard_normal((50, 12)).astype("f")
    row_weights, weights = rng.random(300).astype("f"), rng.random(50).astype("f")
    row_weights[3] = 0
    rows = SparseRows.from_matrix(sp.csr_matrix(ratings))
    projection = Projection(items, weights, Objective(0.1, lam, nu))
    factors = projection.solve(rows, row_weights)
    dense = DenseWals(ratings > 0, ratings, row_weights, weights, 0.1, lam, nu)
    np.testing.assert_allclose(factors, dense.solve_rows(items), rtol=1e-4, atol=1e-5)
    wanted = np.array([2, 40])
    for number in (0, 1, 3):
        row = rows.between(number, number + 1)
        shares = explain.contributions(projection, row, row_weights[number], items[wanted])
        np.testing.assert_allclose(shares.sum(1), factors[number] @ items[wanted].T, atol=1e-5)


@pytest.mark.parametrize(("longest", "w0"), [(3, 0.1), (9, 0.1), (3, 0.0)])
def test_weights_may_be_zero_and_rows_in_any_order(longest, w0):
    """Rows of fewer entries than dimensions and of more, each against its own system."""
    rng, (n, m, d) = np.random.default_rng(2), (40, 30, 6)
    lengths = rng.integers(0, longest + 1, n)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.concatenate([np.sort(rng.choice(m, length, replace=False)) for length in lengths])
    ratings, own = rng.random(len(columns)).astype("f"), rng.choice([0, 0.5, 3], len(columns)).astype("f")
    rows = SparseRows(np.arange(n), indptr, columns.astype(np.int32), ratings, own)
    items = rng.normal(size=(m, d)).astype("f")
    row_weights, weights = (rng.choice([0, 0.5, 2], size).astype("f") for size in (n, m))
    wanted = np.arange(n)[::-2]
    projection = Projection(items, weights, Objective(w0, 0.3, 0.5))
    solved = projection.solve(rows.take(wanted), row_weights[wanted])
    for number, factors in zip(wanted, solved, strict=True):
        row = rows.between(number, number + 1)
        v = items[row.indices].astype(float)
        w = row_weights[number].astype(float) * weights[row.indices] * row.weights
        ridge = 0.3 * max(row.entries + w0 * m, 1e-30) ** 0.5
        left = w0 * items.T.astype(float) @ items + ridge * np.eye(d) + (v.T * w) @ v
        right = ((w0 + w) * row.values)[:, None] * v
        np.testing.assert_allclose(factors, np.linalg.solve(left, right.sum(0)), atol=1e-5)
        shares = explain.contributions(projection, row, row_weights[number], items[[2, 20]])
        np.testing.assert_allclose(shares, items[[2, 20]] @ np.linalg.solve(left, right.T), atol=1e-5)


def test_the_greatest_contributions_come_first_and_ties_go_to_the_lower_item():
    shares = np.array([[0.5, 2.0, 0.5, -1.0], [1.0, 1.0, 1.0, 1.0]])
    best = explain.greatest(shares, np.array([3, 7, 8, 9]), 3)
    assert best.indices.tolist() == [[7, 3, 8], [3, 7, 8]]
    np.testing.assert_array_equal(best.scores, np.array([[2, 0.5, 0.5], [1, 1, 1]], "f"))
