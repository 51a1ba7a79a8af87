"""The ridge from attributes to factors against a dense solve in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from trainer.attributes import ridge


def dense(features: np.ndarray, factors: np.ndarray, mu: float) -> np.ndarray:
    """Return B and, in its last row, the constant, by the normal equations."""
    padded = np.c_[features, np.ones(len(features))].astype(np.float64)
    penalty = mu * np.diag([*np.ones(features.shape[1]), 0])
    return np.linalg.solve(padded.T @ padded + penalty, padded.T @ factors.astype(np.float64))


@pytest.mark.parametrize("mu", [0.1, 1.0, 30.0])
def test_the_table_is_the_dense_solution_and_the_constant_costs_nothing(mu):
    rng = np.random.default_rng(0)
    features = np.where(rng.random((200, 40)) < 0.2, rng.random((200, 40)), 0).astype("f")
    features[:, 7] = 0  # an attribute that no item has
    factors = (rng.standard_normal((200, 37)) + 5).astype("f")
    prior = ridge.fit(sp.csr_matrix(features), factors, mu, steps=200, tolerance=1e-7)
    np.testing.assert_allclose(prior.table, dense(features, factors, mu), atol=2e-5)
    assert prior.table[7].max() == 0
    unseen = features[:5] * 0
    np.testing.assert_allclose(prior.factors(sp.csr_matrix(unseen)), np.tile(prior.table[-1], (5, 1)))


def test_the_default_tolerance_predicts_what_the_exact_solution_does():
    rng = np.random.default_rng(1)
    features = sp.random(500, 300, 0.03, "csr", np.float32, rng)
    features = sp.csr_matrix(features / np.sqrt(np.maximum(features.multiply(features).sum(1), 1e-9)))
    factors = rng.standard_normal((500, 20)).astype("f")
    exact = dense(features.toarray(), factors, 1.0)
    predicted = ridge.fit(features.astype(np.float32), factors).factors(features.astype(np.float32))
    expected = features @ exact[:-1] + exact[-1]
    assert np.linalg.norm(predicted - expected) < 0.02 * np.linalg.norm(expected)


def test_without_features_or_items_the_constant_is_left():
    factors = np.array([[1, 2], [3, 6]], "f")
    np.testing.assert_allclose(ridge.fit(sp.csr_matrix((2, 0), dtype="f"), factors).table, [[2, 4]])
    assert not ridge.fit(sp.csr_matrix((0, 3), dtype="f"), factors[:0]).table.any()
