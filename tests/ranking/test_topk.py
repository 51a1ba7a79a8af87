"""Top K against sorting all scores in plain Python."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.sparse_rows import SparseRows
from ranking import topk
from ranking.neighbourhood import Addends


def exact(users, items):
    """float64 dot products, summed in order, rounded to float32."""
    products = users.astype(np.float64)[:, None, :] * items.astype(np.float64)[None, :, :]
    return np.add.accumulate(products, axis=2)[:, :, -1].astype(np.float32)


def plainly(users, items, seen, k):
    found = []
    for scores, without in zip(exact(users, items).tolist(), seen, strict=True):
        left = [(-score, place) for place, score in enumerate(scores) if place not in without]
        found.append([place for _, place in sorted(left)[:k]])
    return found


def rows(seen):
    offsets = np.cumsum([0] + [len(without) for without in seen])
    flat = np.array([place for without in seen for place in sorted(without)], np.int32)
    return SparseRows(np.arange(len(seen)), offsets, flat, np.ones(len(flat), np.float32))


def run(users, items, seen, k, tile=topk.TILE):
    places, scores = topk.top_k(users, items, rows(seen), k, tile)
    return [[place for place in row if place >= 0] for row in places.tolist()], places, scores


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 40), st.integers(1, 12))
def test_top_k_equals_sorting_with_ties_by_place(seed, users, items, k):
    rng = np.random.default_rng(seed)
    # Whole numbers: the scores are exact, and ties are common.
    u, v = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (users, items))
    seen = [set(rng.choice(items, rng.integers(0, items + 1), replace=False).tolist()) for _ in range(users)]
    assert run(u, v, seen, k)[0] == plainly(u, v, seen, k)


def test_tiles_and_bands_give_the_same_as_one():
    rng = np.random.default_rng(1)
    u, v = (rng.integers(-3, 4, (n, 4)).astype(np.float32) for n in (70, 300))
    seen = [set(rng.choice(300, 20, replace=False).tolist()) for _ in range(70)]
    whole = run(u, v, seen, 25)
    tiled = run(u, v, seen, 25, topk.Tile(16, 37))
    assert whole[0] == tiled[0] == plainly(u, v, seen, 25)
    np.testing.assert_array_equal(whole[2], tiled[2])


@pytest.mark.parametrize("dimensions", [1, 31, 128])
def test_equal_items_tie_and_any_block_gives_the_same(dimensions):
    """Real numbers, which BLAS rounds by their place in a tile; each item stands seven times."""
    rng = np.random.default_rng(dimensions)
    u = rng.standard_normal((61, dimensions), np.float32)
    v = rng.permutation(np.repeat(rng.standard_normal((97, dimensions), np.float32), 7, axis=0))
    seen = [set(rng.choice(len(v), 30, replace=False).tolist()) for _ in u]
    found, _, scores = run(u, v, seen, 10)
    assert found == plainly(u, v, seen, 10)
    np.testing.assert_array_equal(scores, np.take_along_axis(exact(u, v), np.array(found), 1))
    for size in (1, 3):
        parts = [run(u[s : s + size], v, seen[s : s + size], 10) for s in range(0, len(u), size)]
        assert [row for part in parts for row in part[0]] == found
        np.testing.assert_array_equal(np.concatenate([part[2] for part in parts]), scores)


def test_scores_closer_than_float32_sums_can_tell_are_ordered_by_their_true_values():
    rng = np.random.default_rng(4)
    u = rng.standard_normal((40, 64), np.float32)
    v = (u[0] + 1e-6 * rng.standard_normal((500, 64))).astype(np.float32)
    v[250:] = 0  # and many that score nothing at all
    seen = [set(rng.choice(250, 10, replace=False).tolist()) for _ in u]
    assert run(u, v, seen, 5)[0] == plainly(u, v, seen, 5)


def test_a_user_of_zeros_gets_the_first_places():
    v = np.random.default_rng(5).standard_normal((3000, 16), np.float32)
    assert run(np.zeros((1, 16), "f4"), v, [{0, 2}], 4)[0] == [[1, 3, 4, 5]]


def test_candidates_are_the_best_across_tiles_so_that_a_second_look_is_rare():
    rng = np.random.default_rng(6)
    u, v = (rng.standard_normal((n, 8), np.float32) for n in (50, 5000))
    nothing = SparseRows.empty(50)
    addends = Addends.none(50, 3)
    block = topk._Block(u, v, nothing.indptr, nothing.indices, topk._errors(u, v), addends, 2048)
    places, scores = topk._candidates(block, 10)[0]
    np.testing.assert_allclose(scores, np.take_along_axis(exact(u, v), places, 1), atol=1e-5)
    best = topk.top_k(u, v, nothing, 10)[0]
    assert all(set(row) < set(chosen) for row, chosen in zip(best.tolist(), places.tolist(), strict=True))


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
    places, scores = topk.top_k(np.zeros((0, 2), "f4"), np.ones((3, 2), "f4"), SparseRows.empty(0), k)
    assert places.shape == scores.shape == (0, k)


def test_memory_does_not_hold_all_scores():
    u, v = np.ones((4096, 2), "f4"), np.ones((30_000, 2), "f4")
    topk.top_k(u[:1], v[:50], SparseRows.empty(1), 5)  # compiled
    tracemalloc.start()
    topk.top_k(u, v, SparseRows.empty(4096), 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20  # of 490 MB


def test_threads_do_not_disturb_each_other_and_blas_keeps_its_own():
    rng = np.random.default_rng(3)
    u, v = (rng.standard_normal((n, 16), np.float32) for n in (600, 700))
    expected = run(u, v, [set()] * 600, 8)[1]
    before = threadpoolctl.threadpool_info()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: run(u, v, [set()] * 600, 8)[1], range(12)):
            np.testing.assert_array_equal(found, expected)
    assert threadpoolctl.threadpool_info() == before
