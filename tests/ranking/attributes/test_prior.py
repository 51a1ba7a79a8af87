"""Factors from attributes, with and without views, against dense systems in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from ranking.attributes import prior as priors
from ranking.fold_in import Objective, Projection


@pytest.mark.parametrize("w0", [0.1, 0.0])
def test_views_add_what_the_prior_does_not_explain(w0):
    """The formula of docs/cold-start.md, row by row; a row without views is its prior."""
    rng, (n, m, d) = np.random.default_rng(0), (30, 25, 6)
    users, prior = rng.normal(size=(m, d)).astype("f"), rng.normal(size=(n, d)).astype("f")
    ratings = np.where(rng.random((n, m)) < rng.random((n, 1)), rng.random((n, m)), 0)
    ratings[4] = 0
    rows = SparseRows.from_matrix(sp.csr_matrix(ratings), sp.csr_matrix(np.where(ratings > 0, ratings + 0.5, 0)))
    own, others = rng.random(n).astype("f"), rng.random(m).astype("f")
    own[2] = 0  # with w0 = 0, entries without any weight
    projection = Projection(users, others, Objective(w0, 0.3, 0.5))
    folded = prior + projection.solve(priors.residuals(prior, users, others, w0, rows, own), own)
    u, g = users.astype(float), prior.astype(float)
    for row in range(n):
        some = rows.between(row, row + 1)
        seen = u[some.indices]
        weights = own[row].astype(float) * others[some.indices] * some.weights
        whole = np.maximum(w0 + weights, 1e-300)
        residuals = some.values - weights / whole * (seen @ g[row])
        ridge = 0.3 * max(some.entries + w0 * m, 1e-30) ** 0.5
        left = w0 * u.T @ u + ridge * np.eye(d) + (seen.T * weights) @ seen
        y = np.linalg.solve(left, seen.T @ ((w0 + weights) * residuals))
        np.testing.assert_allclose(folded[row], g[row] + y, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(folded[4], prior[4])


def test_the_prior_sums_attributes_and_the_constant():
    rng = np.random.default_rng(1)
    table, features = rng.normal(size=(8, 3)).astype("f"), sp.random(5, 7, 0.5, "csr", np.float32, rng)
    expected = features.toarray().astype(float) @ table[:-1].astype(float) + table[-1]
    np.testing.assert_array_equal(priors.Prior(table).factors(features), expected.astype("f"))
