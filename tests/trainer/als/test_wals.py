"""The mathematics against a dense float64 oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from tests.support.oracles import DenseWals
from trainer.als import wals
from trainer.als.basis import Basis
from trainer.als.batches import Batches
from trainer.als.kernels import solvers
from trainer.als.solver import Solver

CPU = [Solver("cholesky"), Solver("auto", steps=60), Solver("cg", steps=60), Solver("block", block=999)]
# TensorFlow's own path, which accelerators take, on the device that every machine has. Its tiles are small: by default
# one of 4,096 systems is solved however few rows there are.
TENSORS = [replace(solver, devices=("CPU:0",), slots=32) for solver in CPU]
EXACT = CPU + TENSORS


def enough(solver, k):
    """Return a solver of tensors with fewer steps, which find a solution of k numbers: each is traced, for each k."""
    return replace(solver, steps=min(solver.steps, 25, 2 * k + 2)) if solver.devices else solver


def name_of(solver):
    return f"{'tensors' if solver.devices else 'cpu'}-{solver.method}"


def problem(n, m, k, seed=0, density=0.3, w0=0.1, lam=0.3, nu=0.0, entry_weights=False, zeros=False):
    """Return a random problem: its oracle and a start."""
    rng = np.random.default_rng(seed)
    observed = rng.random((n, m)) < density
    ratings = np.where(observed, rng.random((n, m)) * 3, 0)
    if zeros:
        ratings[rng.random((n, m)) < 0.3] = 0
    own = rng.random((n, m)).astype(np.float32) * 2 if entry_weights else None
    if entry_weights:
        own[rng.random((n, m)) < 0.2] = 0  # observed all the same
    oracle = DenseWals(observed, ratings, rng.random(n) + 0.5, rng.random(m) + 0.5, w0, lam, nu, own)
    start = rng.standard_normal((n, k)), rng.standard_normal((m, k))
    return oracle, tuple(table.astype(np.float32) for table in start)


def sparse(oracle):
    """Return the observed entries as SparseRows of both sides, also those of value 0."""
    places = np.nonzero(oracle.observed)
    matrix = sp.csr_matrix((oracle.ratings[places], places), shape=oracle.observed.shape)
    weights = None
    if oracle.entry_weights is not None:
        weights = sp.csr_matrix((oracle.entry_weights[places], places), shape=oracle.observed.shape)
    rows = SparseRows.from_matrix(matrix, weights)
    return rows, rows.transpose(matrix.shape[1])


def sides(oracle, start):
    rows, cols = sparse(oracle)
    n, m = oracle.observed.shape
    return (
        wals.Side(start[0].copy(), rows.counts(n), oracle.row_weights.astype(np.float32), n),
        wals.Side(start[1].copy(), cols.counts(m), oracle.col_weights.astype(np.float32), m),
    )


def run(oracle, start, solver, sweeps=4, blocks=1):
    """Return what the code under test finds: factors in the start's coordinates, and (loss, RWSE) after each."""
    row_side, col_side = sides(oracle, start)
    both = [
        Batches(list(part.split(max(1, part.entries // blocks))), start[0].shape[1], solver) for part in sparse(oracle)
    ]
    objective = wals.Objective(oracle.w0, oracle.lam, oracle.nu)
    rotation, history = np.eye(start[0].shape[1]), []
    for sweep in range(sweeps):
        one, other = (row_side, col_side) if sweep % 2 == 0 else (col_side, row_side)
        loss, vectors = wals.sweep(both[sweep % 2], one, other, objective)
        rotation = rotation @ vectors
        history.append((loss.total, loss.rwse))
    return row_side.table @ rotation.T, col_side.table @ rotation.T, history


def assert_equal_fit(found, expected, tolerance=1e-4):
    for table, wanted in zip(found[:2], expected[:2], strict=True):
        assert np.abs(table - wanted).max() <= tolerance * np.abs(wanted).max()
    for (loss, rwse), (wanted_loss, wanted_rwse) in zip(found[2], expected[2], strict=True):
        assert loss == pytest.approx(wanted_loss, rel=1e-5)
        # The unregularised loss is a difference of sums: where nearly all is fitted, float32 shows in it.
        assert rwse**2 == pytest.approx(wanted_rwse**2, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
@pytest.mark.parametrize(
    "shape",
    [
        dict(n=40, m=25, k=3),
        dict(n=30, m=50, k=17, nu=1.0),
        dict(n=25, m=20, k=33, density=0.7, nu=0.5),
        dict(n=20, m=70, k=17, entry_weights=True, zeros=True),
        dict(n=20, m=30, k=3, w0=0.0),
        dict(n=20, m=30, k=3, density=0.03),
    ],
    ids=str,
)
def test_two_passes_equal_the_oracle(shape, solver):
    if solver.devices and shape["k"] > 32:  # to kernels another algorithm, to tensors another program of the same
        shape = shape | {"m": 10, "k": 17}  # also more factors than columns
    oracle, start = problem(**shape)
    assert_equal_fit(run(oracle, start, enough(solver, shape["k"])), oracle.sweeps(*start, 4))


def test_rows_longer_than_a_piece_are_split_and_summed():
    oracle, start = problem(6, 2600, 17, density=0.9, lam=2.0)
    assert oracle.observed.sum(1).max() > 2048
    for solver in (*(enough(each, 17) for each in EXACT), Solver("block", block=8)):
        found, expected = run(oracle, start, solver, sweeps=1), oracle.solve_rows(start[1])
        if solver.block == 8:  # one round of blocks is not exact, but from the solution it must not move away
            rows = found[0].astype(np.float32)  # for another dtype the kernel would be compiled again
            again = run(oracle, (rows, start[1]), Solver("block", block=8, threads=1), sweeps=1)
            assert again[2][0][0] <= found[2][0][0] * (1 + 1e-6)
        else:
            assert np.abs(found[0] - expected).max() < 2e-4 * np.abs(expected).max()


def test_rows_longer_than_conjugate_gradient_keeps_are_split_and_summed():
    oracle, start = problem(2, 300_000, 16, density=0.9, lam=2.0)
    assert oracle.observed.sum(1).min() > solvers.KEPT // 16
    found, expected = run(oracle, start, Solver("cg", steps=20), sweeps=1), oracle.solve_rows(start[1])
    # sums of 270,000 float32 that nearly cancel: the factors are a tenth of their terms
    assert np.abs(found[0] - expected).max() < 1e-2 * np.abs(expected).max()


@pytest.mark.parametrize("k", [1, 5, 16, 40])
def test_blocks_of_rows_give_the_same_as_one(k):
    oracle, start = problem(31, 23, k)
    whole, parts = run(oracle, start, Solver()), run(oracle, start, Solver(), blocks=7)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[2], parts[2], rtol=1e-9)


@pytest.mark.parametrize("devices", [(), ("CPU:0",)], ids=str)
@pytest.mark.parametrize("solver", [Solver(), Solver("cg", steps=2), Solver("block", block=3)], ids=str)
def test_loss_never_rises(solver, devices):
    oracle, start = problem(60, 45, 9, nu=1.0, lam=0.05)
    solver = replace(solver, devices=devices, slots=32)
    losses = [loss for loss, _ in run(oracle, start, solver, sweeps=12)[2]]
    assert all(after <= before * (1 + 1e-6) for before, after in zip(losses, losses[1:], strict=False))


@pytest.mark.parametrize("devices", [(), ("CPU:0",)], ids=str)
@pytest.mark.parametrize("solver", [Solver("cg", steps=2), Solver("block", block=3)], ids=str)
def test_iterative_solvers_converge_to_the_exact_rows(solver, devices):
    oracle, start = problem(40, 30, 9, lam=1.0)
    solver = replace(solver, devices=devices, slots=32)
    rows = start[0]
    errors = []
    for _ in range(30):
        rows = run(oracle, (rows, start[1]), solver, sweeps=1)[0].astype(np.float32)
        errors.append(np.abs(rows - oracle.solve_rows(start[1])).max())
    assert errors[0] > 1e-3 and errors[-1] < 1e-5


def test_permuting_ids_permutes_factors():
    oracle, start = problem(30, 20, 6)
    rng = np.random.default_rng(3)
    p, q = rng.permutation(30), rng.permutation(20)
    other = DenseWals(
        oracle.observed[p][:, q], oracle.ratings[p][:, q], oracle.row_weights[p], oracle.col_weights[q], 0.1, 0.3
    )
    found, permuted = run(oracle, start, Solver()), run(other, (start[0][p], start[1][q]), Solver())
    np.testing.assert_allclose(found[0][p], permuted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1][q], permuted[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
def test_an_empty_row_gets_zeros_and_stalls_nothing(solver):
    oracle, start = problem(12, 9, 3)
    oracle.observed[[0, 7]] = False
    oracle.observed[:, 3] = False
    found = run(oracle, start, enough(solver, 3))
    assert not found[0][[0, 7]].any() and not found[1][3].any()
    assert_equal_fit(found, oracle.sweeps(*start, 4))


def test_both_weights_absent_is_plain_als_on_the_zero_filled_matrix():
    oracle, start = problem(20, 15, 4, lam=0.05)
    oracle.row_weights[:] = 0
    oracle.col_weights[:] = 0
    found = run(oracle, start, Solver())
    fixed = start[1].astype(float)
    plain = np.linalg.solve(0.1 * fixed.T @ fixed + 0.05 * np.eye(4), 0.1 * fixed.T @ oracle.targets.T).T
    first = run(oracle, start, Solver(), sweeps=1)[0]
    np.testing.assert_allclose(first, plain, rtol=1e-3, atol=1e-4)
    assert_equal_fit(found, oracle.sweeps(*start, 4))


def test_an_observed_zero_is_not_the_same_as_no_entry():
    oracle, start = problem(20, 15, 4, zeros=True)
    without = DenseWals(
        oracle.observed & (oracle.ratings != 0), oracle.ratings, oracle.row_weights, oracle.col_weights, 0.1, 0.3
    )
    assert abs(run(oracle, start, Solver())[2][-1][0] - run(without, start, Solver())[2][-1][0]) > 1e-2


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
@pytest.mark.parametrize("w0", [0.0, 0.1])
@pytest.mark.parametrize("k", [3, 17])
def test_no_regularisation_on_a_small_dense_matrix_is_no_abort(k, w0, solver):
    """tensorflow/tensorflow#31248: `not invertible`."""
    rng = np.random.default_rng(0)
    truth = rng.random((8, 2)) @ rng.random((2, 6))
    oracle = DenseWals(np.ones((8, 6), bool), truth, np.ones(8), np.ones(6), w0, 0.0)
    start = rng.standard_normal((8, k)).astype("f"), rng.standard_normal((6, k)).astype("f")
    rows, cols, history = run(oracle, start, enough(solver, k), sweeps=12)
    assert np.isfinite(rows).all() and np.isfinite(cols).all()
    assert history[-1][1] < 1e-2
    np.testing.assert_allclose(rows @ cols.T, truth, atol=3e-2)


def test_a_singular_system_gives_the_least_norm_solution():
    oracle, start = problem(10, 4, 9, w0=0.0, lam=0.0, density=0.9)  # 4 columns cannot span 9 dimensions
    found = run(oracle, start, Solver("cholesky"), sweeps=1)[0]
    expected = oracle.solve_rows(start[1])
    assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()


def test_projection_is_the_row_solve_and_leaves_the_fixed_side_alone():
    oracle, start = problem(14, 11, 5, nu=0.7)
    oracle.observed[4] = False
    _, fixed = sides(oracle, start)
    before = fixed.table.copy()
    rows = sparse(oracle)[0]
    objective = wals.Objective(0.1, 0.3, 0.7)
    weights = oracle.row_weights.astype("f")
    found, loss = wals.project(rows, weights, fixed, 14, objective, Solver())
    np.testing.assert_allclose(found, oracle.solve_rows(start[1]), rtol=1e-3, atol=1e-5)
    assert not found[4].any()
    np.testing.assert_array_equal(fixed.table, before)
    expected = oracle.loss(found, start[1])
    np.testing.assert_allclose((loss.total, loss.rwse), expected, rtol=1e-5)
    fixed.table *= 2  # the Gramian is that of the table as it is now
    np.testing.assert_allclose(
        wals.project(rows, weights, fixed, 14, objective, Solver())[0],
        oracle.solve_rows(2 * start[1]),
        rtol=1e-3,
        atol=1e-5,
    )


def test_threads_do_not_change_a_bit():
    oracle, start = problem(200, 150, 12)
    one, two = run(oracle, start, Solver(threads=1)), run(oracle, start, Solver(threads=3))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert one[2] == two[2]


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    k=st.integers(1, 20),
    seed=st.integers(0, 10**6),
    density=st.floats(0, 1),
    nu=st.sampled_from([0.0, 1.0]),
)
def test_any_shape_equals_the_oracle(n, m, k, seed, density, nu):
    oracle, start = problem(n, m, k, seed=seed, density=density, nu=nu)
    assert_equal_fit(run(oracle, start, Solver()), oracle.sweeps(*start, 4), tolerance=1e-3)


@pytest.mark.parametrize(
    ("given", "items", "k"), [("auto", 1, 128), ("auto", 10_000, 128), ("auto", 10_001, 256), (64, 10_001, 64)]
)
def test_an_automatic_k_follows_the_items(given, items, k):
    assert wals.dimension(given, items) == k


def test_auto_says_what_it_does():
    assert Solver("auto").describe(32) == "exact (auto, k = 32)"
    assert Solver("auto").describe(64) == "conjugate gradient, 3 steps (auto, k = 64)"
    large = "exact for rows of up to 128 entries, conjugate gradient, 3 steps for longer ones (auto, k = 1024)"
    assert Solver("auto").describe(1024) == large
    block = "exact for rows of up to 32 entries, block descent, blocks of 32 for longer ones"
    assert Solver("block", block=32).describe(1024) == block
    assert Solver("cholesky").describe(1024) == "exact"


def test_rows_start_warm_exactly_where_their_solver_iterates():
    entries = np.array([0, 5, 64, 65, 128, 129, 4000])
    for solver, k, warm in (
        (Solver("auto"), 32, [0, 0, 0, 0, 0, 0, 0]),
        (Solver("auto"), 64, [0, 1, 1, 1, 1, 1, 1]),
        (Solver("auto"), 1024, [0, 0, 0, 0, 0, 1, 1]),
        (Solver("cholesky"), 1024, [0, 0, 0, 0, 0, 0, 0]),
        (Solver("block", block=64), 1024, [0, 0, 0, 1, 1, 1, 1]),
        (Solver("block", block=64), 64, [0, 0, 0, 0, 0, 0, 0]),
    ):
        assert solver.starts_warm(entries, k).tolist() == [bool(flag) for flag in warm], (solver, k)


@pytest.mark.parametrize("solver", [Solver("block", block=8), Solver(steps=2, exact_from=33, largest_exact=8)], ids=str)
def test_long_rows_start_where_the_last_pass_left_them(solver):
    """Only the long rows of a table with short and long rows are rotated into the new basis."""
    oracle, start = problem(60, 80, 40, density=0.15, lam=2.0)
    lengths = oracle.observed.sum(1)
    assert lengths.min() <= 8 < lengths.max()
    rows, errors = start[0], []
    for _ in range(60):
        rows = run(oracle, (rows, start[1]), solver, sweeps=1)[0].astype(np.float32)
        errors.append(np.abs(rows - oracle.solve_rows(start[1])).max())
    assert errors[0] > 0.1 and errors[-1] < 1e-3


def test_auto_for_large_k_solves_long_rows_by_conjugate_gradient():
    oracle, start = problem(4, 1300, 520, density=0.6, lam=30.0)
    assert oracle.observed.sum(1).min() > 512
    assert Solver().starts_warm(oracle.observed.sum(1), 520).all()
    found = run(oracle, start, Solver(steps=30), sweeps=1)[0]
    expected = oracle.solve_rows(start[1])
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_gramian_that_is_not_finite_says_what_to_change():
    with pytest.raises(UserError, match=r"ratings are too large; set rating.scale"):
        Basis.of(np.array([[np.inf, 0], [0, 1]]))
