"""The search over a compressed table against sorting all scores, and the proof of its bounds by counting."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.sparse_rows import SparseRows
from ranking import similarity, topk
from ranking.compressed import search
from ranking.compressed.table import Compressed
from ranking.neighbourhood import Neighbourhood, Term


def table_of(items):
    return search.Table.of(items, Compressed.of(items), similarity.norms(items))


def left_out_of(rng, rows, items, share=0.1):
    return SparseRows.from_matrix(scipy.sparse.random(rows, items, share, "csr", np.float32, rng))


def same(one, other):
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.scores, other.scores)


def sorted_by_hand(scores, left_out, allowed, k):
    """Return the indices of the best k of each row, of scores float32 [b, n]."""
    lists = []
    for row, own in enumerate(scores):
        skip = set(left_out.indices[left_out.indptr[row] : left_out.indptr[row + 1]].tolist())
        order = sorted((-score, index) for index, score in enumerate(own.tolist()) if index not in skip)
        chosen = [index for _, index in order if allowed[index]][:k]
        lists.append(chosen + [-1] * (k - len(chosen)))
    return lists


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 60), st.integers(1, 12), st.sampled_from([1, 3, 33]))
def test_whole_numbers_tie_and_are_sorted_by_index(seed, rows, items, k, dimensions):
    rng = np.random.default_rng(seed)
    users, table = (rng.integers(-2, 3, (n, dimensions)).astype(np.float32) for n in (rows, items))
    left_out, allowed = left_out_of(rng, rows, items), rng.random(items) < 0.7
    for limits in (search.LIMITS, search.Limits(by_rows=1, alone=1)):
        best = search.top_k(users, table_of(table), left_out, k, allowed=allowed, limits=limits)
        assert best.indices.tolist() == sorted_by_hand(users @ table.T, left_out, allowed, k)


@pytest.mark.parametrize("how", ["plain", "equal", "zeros", "tiny", "huge", "one large"])
@pytest.mark.parametrize("dimensions", [5, 64])
def test_answers_are_those_of_topk(how, dimensions):
    rng = np.random.default_rng(dimensions)
    users, items = (rng.standard_normal((n, dimensions), np.float32) for n in (7, 900))
    users[5:] = 0 if how == "zeros" else users[5:]
    if how == "equal":  # each item is there nine times
        items = rng.permutation(np.repeat(items[:100], 9, axis=0))
    elif how == "zeros":
        items[::3] = 0
    elif how == "one large":  # the others round to few numbers
        items[:, 0] *= 1e6
    else:
        items *= np.float32({"plain": 1, "tiny": 1e-38, "huge": 1e36}[how])
    left_out, table = left_out_of(rng, 7, 900), table_of(items)
    for limits in (search.LIMITS, search.Limits(by_rows=1, alone=1)):
        same(search.top_k(users, table, left_out, 10, limits=limits), topk.top_k(users, items, left_out, 10))
    norms = similarity.norms(items)
    directions = similarity.directions(items)
    same(search.top_k(users, table.directions(norms), left_out, 10), topk.top_k(users, directions, left_out, 10))
    np.testing.assert_array_equal(table.directions(norms).row(np.arange(900)), directions)


def test_parts_and_full_candidates_change_nothing():
    rng = np.random.default_rng(3)
    users, items = rng.standard_normal((5, 8), np.float32), rng.standard_normal((4_000, 8), np.float32)
    items[2_000:] = items[:2_000]
    left_out, table = left_out_of(rng, 5, 4_000), table_of(items)
    expected = topk.top_k(users, items, left_out, 10)
    same(search.top_k(users, table, left_out, 10, limits=search.Limits(alone=1, queries=2)), expected)
    for limits in ({"candidates": 12}, {"by_rows": 1, "alone": 1}, {"by_rows": 1, "alone": 1, "candidates": 12}):
        same(search.top_k(users, table, left_out, 10, limits=search.Limits(**limits)), expected)


def test_the_neighbourhood_adds_what_it_adds_in_topk():
    rng = np.random.default_rng(4)
    users, items = rng.standard_normal((6, 16), np.float32), rng.standard_normal((500, 16), np.float32)
    values = scipy.sparse.random(500, 500, 0.02, "csr", np.float32, rng)
    values.data = np.rint(values.data * 1024 + 1).astype(np.float32) / 1024
    histories = left_out_of(rng, 6, 500, 0.02)
    term = Term(Neighbourhood(SparseRows.from_matrix(values), 3.0), histories)
    expected = topk.top_k(users, items, histories, 20, term=term)
    assert (expected.indices != topk.top_k(users, items, histories, 20).indices).any()
    same(search.top_k(users, table_of(items), histories, 20, term=term), expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([1, 7, 32, 65]), st.floats(-40, 38))
def test_a_compressed_row_is_within_its_error(seed, dimensions, exponent):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        table = (rng.standard_normal((9, dimensions)) * 10.0**exponent).astype(np.float32)
    table = np.where(np.isfinite(table), table, np.float32(0))
    compressed, norms = Compressed.of(table), similarity.norms(table)
    for rows, parts in ((table, compressed), (similarity.directions(table), compressed.directions(norms))):
        known = parts.scales.astype(np.float64)[:, None] * parts.rows[:, :dimensions]
        assert (np.linalg.norm(rows.astype(np.float64) - known, axis=1) <= parts.errors).all()
    lengths = np.linalg.norm(table.astype(np.float64), axis=1)
    assert (compressed.errors <= lengths * np.sqrt(dimensions) / 127 + 1e-37).all(), "and the error is small"
