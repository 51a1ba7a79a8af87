"""Rows in dense tiles of one shape, and the TensorFlow path over many of them."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from tests.support import forkserver
from tests.trainer.als.test_wals import assert_equal_fit, problem, run
from trainer.als import tensor_solver, tiles
from trainer.als.solver import Solver


def rows_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    matrix = sp.lil_matrix((len(lengths), 1000), dtype=np.float32)
    for row, length in enumerate(lengths):
        matrix[row, rng.choice(1000, length, replace=False)] = rng.random(length) + 1
    matrix = matrix.tocsr()
    matrix.sort_indices()
    return matrix, SparseRows.from_matrix(matrix)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_tiles_hold_every_entry_once_and_know_where_rows_end(slots):
    lengths = [5, 64, 65, 400, 1, 0, 128, 300]
    matrix, rows = rows_of(lengths)
    positions = np.array([3, 0, 1, 2, 4, 6, 7], np.int32)
    packed = tiles.pack(rows, positions, slots)
    assert packed.indices.shape[1:] == (slots, tiles.LENGTH)
    found = sp.lil_matrix(matrix.shape, dtype=np.float32)
    for tile, slot, place in zip(*np.nonzero(packed.weights >= 0), strict=True):
        row = positions[packed.owner[tile, slot]]
        assert not found[row, packed.indices[tile, slot, place]]
        found[row, packed.indices[tile, slot, place]] = packed.values[tile, slot, place]
    assert (found.tocsr() != matrix).nnz == 0
    ends = packed.ends[packed.ends < len(positions)]
    assert sorted(ends) == list(range(len(positions)))


@pytest.mark.parametrize("method", ["cholesky", "cg", "block"])
def test_rows_that_continue_over_many_tiles_are_summed(method):
    oracle, start = problem(12, 700, 7, density=0.6, nu=0.5)
    solver = Solver(method, steps=15, block=99, devices=("CPU:0",), slots=2)
    assert_equal_fit(run(oracle, start, solver), oracle.sweeps(*start, 4))


def test_sides_of_any_size_and_auto_share_the_program_of_a_method(monkeypatch):
    traced, solve_part = [], tensor_solver._solve_part

    def counted(rows, fixed, solver, k):
        traced.append(solver.method)
        return solve_part(rows, fixed, solver, k)

    monkeypatch.setattr(tensor_solver, "_solve_part", counted)
    for shape, method, steps in (((9, 6), "cholesky", 3), ((5, 7), "auto", 4), ((5, 7), "cg", 4), ((6, 70), "cg", 4)):
        oracle, start = problem(*shape, 2)
        run(oracle, start, Solver(method, steps=steps, devices=("CPU:0",), slots=8))
    assert traced == ["cholesky", "cg"]


def test_bfloat16_tables_come_near_and_are_bfloat16():
    oracle, start = problem(80, 60, 8, density=0.3, lam=1.0)
    wanted = oracle.sweeps(*start, 6)
    for devices in ((), ("CPU:0",)):
        found = run(oracle, start, Solver(devices=devices, table_dtype="bfloat16"), sweeps=6)
        exact = run(oracle, start, Solver(devices=devices), sweeps=6)
        error = np.abs(found[0] - wanted[0]).max() / np.abs(wanted[0]).max()
        assert 1e-4 < error < 0.03, devices  # eight bits of mantissa: about 0.4% a number
        assert found[2][-1][0] == pytest.approx(exact[2][-1][0], rel=0.01)


TWO_DEVICES = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.trainer.als.test_wals import problem, run
from trainer.als.solver import Solver
oracle, start = problem(40, 25, 6, nu=1.0)
one = run(oracle, start, Solver(devices=("CPU:0",), slots=16))
two = run(oracle, start, Solver(devices=("CPU:0", "CPU:1"), slots=16))
for a, b in zip(one[:2], two[:2]):
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max(), np.abs(a - b).max()
np.testing.assert_allclose(one[2], two[2], rtol=1e-6)
print("equal")
"""


def test_two_devices_give_what_one_gives():
    done = forkserver.run(
        [sys.executable, "-c", TWO_DEVICES],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert done.stdout.strip().endswith("equal"), done.stderr[-2000:]
