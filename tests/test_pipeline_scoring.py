"""Top K against sorting all scores in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import scoring


def plainly(users, items, seen, k):
    found = []
    for user, without in zip(users, seen, strict=True):
        scores = [(-float(np.float32(user @ item)), place) for place, item in enumerate(items) if place not in without]
        found.append([place for _, place in sorted(scores)[:k]])
    return found


def run(users, items, seen, k):
    offsets = np.cumsum([0] + [len(without) for without in seen])
    flat = np.array([place for without in seen for place in sorted(without)], np.int64)
    places, scores = scoring.top_k(users, items, offsets, flat, k)
    return [[place for place in row if place >= 0] for row in places.tolist()], places, scores


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 40), st.integers(1, 12))
def test_top_k_equals_sorting_with_ties_by_place(seed, users, items, k):
    rng = np.random.default_rng(seed)
    # Whole numbers: the scores are exact, and ties are common.
    u, v = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (users, items))
    seen = [set(rng.choice(items, rng.integers(0, items + 1), replace=False).tolist()) for _ in range(users)]
    assert run(u, v, seen, k)[0] == plainly(u, v, seen, k)


def test_tiles_and_bands_give_the_same_as_one(monkeypatch):
    rng = np.random.default_rng(1)
    u, v = (rng.integers(-3, 4, (n, 4)).astype(np.float32) for n in (70, 300))
    seen = [set(rng.choice(300, 20, replace=False).tolist()) for _ in range(70)]
    whole = run(u, v, seen, 25)
    monkeypatch.setattr(scoring, "_VISITORS", 16)
    monkeypatch.setattr(scoring, "_CONTENTS", 37)
    tiled = run(u, v, seen, 25)
    assert whole[0] == tiled[0] == plainly(u, v, seen, 25)
    np.testing.assert_array_equal(whole[2], tiled[2])


def test_fewer_than_k_left_are_not_padded_with_anything_real():
    places, scores = run(np.ones((2, 1), "f4"), np.ones((3, 1), "f4"), [{0, 2}, {0, 1, 2}], 5)[1:]
    assert places.tolist() == [[1, -1, -1, -1, -1], [-1] * 5]
    assert scores[0, 0] == 1
    assert np.isneginf(scores[0, 1:]).all()


def test_scores_are_best_first():
    rng = np.random.default_rng(2)
    u, v = rng.standard_normal((5, 8), np.float32), rng.standard_normal((3000, 8), np.float32)
    _, places, scores = run(u, v, [set()] * 5, 50)
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.take_along_axis(u @ v.T, places, 1), rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3])
def test_no_users(k):
    places, scores = scoring.top_k(
        np.zeros((0, 2), "f4"), np.ones((3, 2), "f4"), np.zeros(1, np.int64), np.zeros(0, np.int64), k
    )
    assert places.shape == scores.shape == (0, k)
