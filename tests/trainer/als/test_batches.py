"""The plan of a side's rows: made once per fit, for exactly these rows and this solver."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from tests.trainer.als.test_wals import problem, sides, sparse
from trainer.als import wals
from trainer.als.batches import Batches
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization
from trainer.als.solver import Solver


class Cut(Cluster):
    """A single process that cuts rows as several do."""

    def batch_entries(self, k: int) -> int:
        return 13


def test_rows_in_memory_are_cut_once_per_fit(monkeypatch):
    cut, pieces = [], SparseRows.pieces

    def counted(self, entries):
        cut.append(entries)
        return pieces(self, entries)

    monkeypatch.setattr(SparseRows, "pieces", counted)
    oracle, start = problem(20, 30, 4)
    state = Factorization(  # type: ignore[call-arg]
        *sides(oracle, start), *([part] for part in sparse(oracle)), wals.Objective(), Solver(), Cut()
    )
    for _ in range(6):
        state.sweep()
    assert cut == [13, 13]  # each side's block once, however many sweeps


def test_rows_read_from_files_are_planned_again_and_give_the_same():
    class Files:
        """Reads the blocks again in each sweep."""

        def __init__(self, rows):
            self.rows = rows

        def __iter__(self):
            return self.rows.split(40)

    oracle, start = problem(20, 30, 4)
    tables = []
    for kept in (True, False):
        blocks = [list(part.split(40)) if kept else Files(part) for part in sparse(oracle)]
        state = Factorization(*sides(oracle, start), *blocks, wals.Objective(), Solver())  # type: ignore[call-arg]
        for _ in range(4):
            state.sweep()
        tables.append(state.cols.table)
    np.testing.assert_array_equal(*tables)


@pytest.mark.parametrize("devices", [(), ("CPU:0",)], ids=str)
def test_another_solver_on_the_same_rows_has_its_own_plan(devices):
    """With blocks of 10 rows 0 and 2 are solved exactly, with blocks of 5 rows 0 and 1 are iterated on.

    Both are two rows of which the first is row 0: once the key of a cache in which the second solver found the first
    one's rows.
    """
    rng = np.random.default_rng(0)
    matrix = sp.lil_matrix((3, 30), dtype=np.float32)
    for row, length in enumerate((8, 20, 3)):
        matrix[row, rng.choice(30, length, replace=False)] = 1
    matrix = matrix.tocsr()
    matrix.sort_indices()
    table = rng.standard_normal((30, 12)).astype("f")

    def solved(rows, block):
        side = wals.Side(np.ones((3, 12), "f"), rows.counts(3), np.ones(3, "f"), 3)
        fixed = wals.Side(table.copy(), np.full(30, 1), np.ones(30, "f"), 30)
        batches = Batches([rows], 12, Solver("block", block=block, devices=devices, slots=8))
        wals.sweep(batches, side, fixed, wals.Objective(0.1, 0.3))
        return side.table

    rows = SparseRows.from_matrix(matrix)
    solved(rows, block=10)
    np.testing.assert_array_equal(solved(rows, block=5), solved(SparseRows.from_matrix(matrix), block=5))
