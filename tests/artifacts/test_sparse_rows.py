"""Sparse rows against SciPy's and dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows

ROWS, COLUMNS = 23, 17


@pytest.fixture(params=[0, 1, 2])
def dense(request):
    rng = np.random.default_rng(request.param)
    return np.where(rng.random((ROWS, COLUMNS)) < rng.random((ROWS, 1)), rng.random((ROWS, COLUMNS)), 0).astype("f")


def rows_of(dense: np.ndarray) -> SparseRows:
    return SparseRows.from_matrix(sp.csr_matrix(dense))


def to_dense(rows: SparseRows, columns: int = COLUMNS) -> np.ndarray:
    """Return the rows at their positions, whatever their keys."""
    return sp.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), columns)).toarray()


def test_parts_of_rows_are_the_rows(dense):
    rows, positions = rows_of(dense), np.array([5, 0, 5, 22])
    np.testing.assert_array_equal(to_dense(rows.take(positions)), dense[positions])
    assert rows.take(positions).keys.tolist() == positions.tolist()
    for first, last in ((0, ROWS), (4, 9), (7, 7)):
        part = rows.between(first, last)
        np.testing.assert_array_equal(to_dense(part), dense[first:last])
        assert part.keys.tolist() == list(range(first, last)) and part.values.base is not None
    assert rows.entries == np.count_nonzero(dense) and rows.counts(30)[ROWS:].sum() == 0
    for entry in (0, rows.entries - 1):
        assert rows.key_of(entry) == np.nonzero(dense)[0][entry]


def test_blocks_in_any_order_are_put_together(dense):
    rows = rows_of(dense)
    blocks = [rows.take(np.arange(start, ROWS, 3)) for start in (2, 0, 1)]
    np.testing.assert_array_equal(to_dense(SparseRows.stacked(blocks, ROWS)), dense)
    fewer = SparseRows.stacked(blocks[:1], ROWS + 4)
    assert len(fewer) == ROWS + 4 and fewer.keys[-1] == ROWS + 3
    np.testing.assert_array_equal(to_dense(fewer)[2:ROWS:3], dense[2::3])
    assert fewer.lengths[[0, 1, ROWS, ROWS + 3]].sum() == 0
    both = SparseRows.concatenated(blocks)
    assert both.keys.tolist() == [key for block in blocks for key in block.keys]
    np.testing.assert_array_equal(to_dense(both.at(np.array([9, 40, 0]))), [dense[9], np.zeros(COLUMNS), dense[0]])
    assert len(SparseRows.concatenated([])) == 0


def test_columns_in_any_order_are_sorted_with_their_weights():
    matrix = sp.csr_matrix((np.array([1.0, 2, 3, 4], np.float32), [2, 0, 3, 1], [0, 2, 4]), (2, 4))
    weights = sp.csr_matrix((matrix.data * 10, matrix.indices, matrix.indptr), (2, 4))
    for own in (weights, weights.sorted_indices()):
        rows = SparseRows.from_matrix(matrix, own)
        assert rows.indices.tolist() == [0, 2, 1, 3]
        assert rows.values.tolist() == [2, 1, 4, 3] and rows.weights.tolist() == [20, 10, 40, 30]


def test_weights_follow_their_entries(dense):
    rows = SparseRows.from_matrix(sp.csr_matrix(dense), sp.csr_matrix(dense * 3))
    blocks = [rows.take(np.arange(start, ROWS, 3)) for start in (2, 0, 1)]
    for put_together in (SparseRows.stacked(blocks, ROWS), SparseRows.concatenated(blocks).joined()):
        np.testing.assert_array_equal(put_together.weights, put_together.values * 3)
    mixed = SparseRows.concatenated([rows_of(dense), rows])
    np.testing.assert_array_equal(mixed.weights, np.append(np.ones(rows.entries), rows.weights))
    assert not len(SparseRows.stacked([rows_of(dense)], ROWS).weights)


def test_marks_follow_their_entries_and_choose_what_is_left_out(dense):
    marked = (np.arange(dense.size).reshape(dense.shape) % 3 == 0) & (dense > 0)  # may be recommended again
    plain = rows_of(dense)
    rows = replace(plain, again=marked[dense > 0])
    blocks = [rows.take(np.arange(start, ROWS, 3)) for start in (2, 0, 1)]
    parts = [SparseRows.concatenated([rows.between(0, 4), rows.between(4, ROWS)]), rows.at(np.arange(ROWS))]
    for whole in (SparseRows.stacked(blocks, ROWS), SparseRows.concatenated(blocks).joined(), *parts):
        np.testing.assert_array_equal(to_dense(replace(whole, values=whole.again.astype("f"))) > 0, marked)
        np.testing.assert_array_equal(to_dense(whole.left_out()), np.where(marked, 0, dense))
    assert plain.left_out() is plain and not len(rows.left_out().again[rows.left_out().again])
    mixed = SparseRows.concatenated([plain, rows])
    np.testing.assert_array_equal(mixed.again, np.append(np.zeros(rows.entries, bool), rows.again))
    pieces = SparseRows.concatenated(list(rows.pieces(2)))
    np.testing.assert_array_equal(pieces.joined().again, rows.again)
    np.testing.assert_array_equal(rows.cut(2).joined().again, rows.again)
    new = np.where(np.arange(COLUMNS) % 2, np.arange(COLUMNS), -1)
    np.testing.assert_array_equal(rows.renumbered(new).again, rows.again[rows.indices % 2 == 1])


def test_rows_of_one_key_are_joined(dense):
    rows = rows_of(np.where(np.arange(COLUMNS) < 8, dense, 0))
    rest = rows_of(np.where(np.arange(COLUMNS) < 8, 0, dense))
    joined = SparseRows.concatenated([rows, rest]).joined()
    assert joined.keys.tolist() == list(range(ROWS))
    np.testing.assert_array_equal(to_dense(joined), dense)


def test_columns_become_rows(dense):
    turned = rows_of(dense).transpose(COLUMNS)
    np.testing.assert_array_equal(to_dense(turned, ROWS), dense.T)
    weights = np.where(dense > 0, 1 + dense, 0)
    weighted = SparseRows.from_matrix(sp.csr_matrix(dense), sp.csr_matrix(weights)).transpose(COLUMNS)
    np.testing.assert_array_equal(weighted.weights, weights.T[dense.T > 0])


def test_columns_are_renumbered_or_dropped(dense):
    new = np.full(COLUMNS, -1)
    kept = np.array([1, 2, 8, 16])
    new[kept] = np.arange(4)
    found = rows_of(dense).renumbered(new)
    np.testing.assert_array_equal(to_dense(found, 4), dense[:, kept])
    assert found.indices.dtype == np.int32


def test_blocks_contain_whole_rows_and_pieces_do_not(dense):
    rows = rows_of(dense)
    blocks = list(rows.split(12))
    np.testing.assert_array_equal(np.concatenate([to_dense(block) for block in blocks]), dense)
    assert all(block.entries <= 12 or len(block) == 1 for block in blocks)
    pieces = list(rows.pieces(5))
    assert max(piece.entries for piece in pieces) <= 5
    np.testing.assert_array_equal(to_dense(SparseRows.concatenated(pieces).joined()), dense)


def test_rows_of_one_entry_and_of_none():
    single = SparseRows.single(np.array([3, 0, 3]))
    np.testing.assert_array_equal(to_dense(single, 4), np.eye(4)[[3, 0, 3]])
    assert SparseRows.empty(3).lengths.tolist() == [0, 0, 0]


def test_no_rows_are_rows_of_none():
    none = SparseRows.empty(0)
    columns = none.keys, none.indptr, none.indices, none.values
    assert [len(column) for column in columns] == [0, 1, 0, 0]
    assert [column.dtype.str[1:] for column in columns] == ["i8", "i8", "i4", "f4"]
    for same in (none.joined(), none.cut(3), SparseRows.concatenated([none])):
        assert (len(same), same.indptr.tolist()) == (0, [0])
