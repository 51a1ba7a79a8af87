"""Caps on categories, popularity, and MMR, against plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking import popularity
from ranking.diversity import Cap, capped_top_k, mmr
from ranking.heap import Best
from ranking.topk import top_k


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


def capped(u, v, left_out: SparseRows, k: int, cap: Cap, entries: int) -> Best:
    def search(rows, length):
        return top_k(u[rows], v, left_out.take(rows), length)

    return capped_top_k(search, len(u), len(v), k, cap, entries)


def test_a_cap_goes_down_the_order_as_far_as_needed():
    rng = np.random.default_rng(2)
    u, v = rng.standard_normal((40, 5)).astype("f"), rng.standard_normal((3000, 5)).astype("f")
    categories = np.where(np.arange(3000) < 2990, 0, np.arange(3000) % 4).astype(np.int32)
    best = capped(u, v, SparseRows.empty(40), 6, Cap(categories, 2), entries=5000)
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
    best = capped(u, v, rows_of(left_out), 9, Cap(categories, most), entries=100)
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


def mmr_plainly(indices, scores, factors, weight, k):
    """Return what MMR chooses of one list of candidates, by its formula."""
    left, chosen = [n for n in range(len(indices)) if indices[n] >= 0], []
    high, low = float(scores[left[0]]), float(scores[left[-1]])
    unit = factors.astype("d") / np.linalg.norm(factors.astype("d"), axis=1)[:, None]

    def value(n):
        relevance = (float(scores[n]) - low) / (high - low) if high > low else 1.0
        nearest = max((float(unit[indices[n]] @ unit[indices[other]]) for other in chosen), default=0.0)
        return weight * relevance - (1 - weight) * nearest

    while left and len(chosen) < k:
        values = [value(n) for n in left]
        chosen.append(left.pop(int(np.argmax(np.round(values, 9)))))  # of equal values, the first
    return [int(indices[n]) for n in chosen]


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
def test_mmr_chooses_by_its_formula(weight):
    """Some lists are short, and some items are the same in all factors, so that they tie."""
    rng = np.random.default_rng(7)
    u, v = rng.standard_normal((30, 4)).astype("f"), rng.standard_normal((60, 4)).astype("f")
    v[40:50] = v[50:]
    best = top_k(u, v, rows_of([set(range(n * 2)) for n in range(30)]), 25)
    found = mmr(best, v.__getitem__, weight, 7)
    for row in range(30):
        expected = mmr_plainly(best.indices[row], best.scores[row], v, weight, 7)
        assert [item for item in found.indices[row].tolist() if item >= 0] == expected
        of = dict(zip(best.indices[row].tolist(), best.scores[row].tolist(), strict=True))
        assert [of[item] for item in expected] == found.scores[row, : len(expected)].tolist()
    if weight == 1:
        np.testing.assert_array_equal(found.indices, best.indices[:, :7])
