"""WALSMatrixFactorization: TensorFlow 1's arguments with their meaning, and mistakes named before training."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from configs.errors import UserError
from configs.settings import TrainingSettings
from tests.support.datasets import write_dataset
from tests.support.oracles import DenseWals
from trainer import WALSMatrixFactorization
from trainer.als import regularization
from trainer.inputs.matrices import to_rows
from trainer.job.early_stopping import HeldOut

N, M, K = 24, 17, 4


@pytest.fixture
def matrix():
    rng = np.random.default_rng(5)
    matrix = sp.csr_matrix(np.where(rng.random((N, M)) < 0.3, rng.random((N, M)) + 0.1, 0).astype("f"))
    return matrix


@pytest.fixture
def start():
    rng = np.random.default_rng(6)
    return rng.standard_normal((N, K)).astype("f"), rng.standard_normal((M, K)).astype("f")


def tensor(matrix):
    coo = matrix.tocoo()
    return tf.SparseTensor(np.stack([coo.row, coo.col], 1).astype(np.int64), coo.data, matrix.shape)


def oracle(matrix, row_weights=1.0, col_weights=1.0, **kwargs):
    dense = matrix.toarray()
    n, m = dense.shape
    options = {"w0": 0.1, "lam": 0.2} | kwargs
    return DenseWals(dense != 0, dense, np.ones(n) * row_weights, np.ones(m) * col_weights, **options)


def fit(matrix, start, passes=2, **kwargs):
    options = {"embedding_dimension": K, "regularization_coeff": 0.2, "row_init": start[0], "col_init": start[1]}
    return WALSMatrixFactorization(**options | kwargs).fit(matrix, passes=passes)


def assert_fit(model, expected):
    rows, cols, history = expected
    np.testing.assert_allclose(model.get_row_factors(), rows, rtol=1e-3, atol=1e-4 * np.abs(rows).max())
    np.testing.assert_allclose(model.get_col_factors(), cols, rtol=1e-3, atol=1e-4 * np.abs(cols).max())
    np.testing.assert_allclose([(s.loss, s.rwse) for s in model.history], history, rtol=1e-5)


def test_tensorflow_1_positional_arguments(matrix, start):
    model = WALSMatrixFactorization(N, M, K, 0.1, 0.2, start[0], start[1], 2.0, 0.5, 4).fit(matrix)
    assert_fit(model, oracle(matrix, 2.0, 0.5).sweeps(*start, 4))
    assert model.completed_sweeps == 4


@pytest.mark.parametrize("rating", [9e17, 3.0, 1e9, -1.0, 1e-9, 0.0])
def test_factors_of_ratings_of_any_size_are_finite(matrix, rating):
    """benfred/implicit#80 and #252, apache/spark#18022; all ratings may be equal."""
    odd = matrix.copy()
    odd.data[:] = rating
    model = WALSMatrixFactorization(embedding_dimension=K, max_sweeps=6).fit(odd)
    for factors in (model.get_row_factors(), model.get_col_factors()):
        assert np.isfinite(factors).all()


def test_the_defaults_are_those_of_the_settings():
    """Compare each argument that a setting of the same name has."""
    settings, arguments = TrainingSettings(), inspect.signature(WALSMatrixFactorization).parameters
    shared = [name for name in arguments if hasattr(settings, name)]
    assert len(shared) >= 11
    assert {name: arguments[name].default for name in shared} == {name: getattr(settings, name) for name in shared}


@pytest.mark.parametrize(("items", "expected"), [(500, 4.0), (2000, 4.0), (8000, 2.0), (200_000, 0.4)])
def test_the_automatic_lambda_falls_with_the_number_of_items(items, expected):
    assert regularization.automatic((1000, items), 20_000, 0.1, 0.0) == pytest.approx(expected, rel=1e-6)
    scaled = regularization.automatic((1000, items), 20_000, 0.1, 0.5)
    assert scaled * (20 + 0.1 * items) ** 0.5 == pytest.approx(expected, rel=1e-5), "of a user with the mean of items"


def test_the_automatic_lambda_is_used(matrix, start):
    wide = sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), (N, 8000))
    rows, cols = start[0], np.zeros((8000, K), "f")
    cols[:M] = start[1]
    found = [
        WALSMatrixFactorization(embedding_dimension=K, row_init=rows, col_init=cols, **chosen).fit(wide, passes=1)
        for chosen in ({}, {"regularization_coeff": 2.0}, {"regularization_coeff": None})
    ]
    losses = [model.history[-1].loss for model in found]
    assert losses[0] == losses[1] > losses[2]


def test_the_share_of_lambda_is_that_of_the_mean_diagonal(matrix, start):
    """Against the dense system of each user: w0 V'V + sum_obs R C v v'."""
    weights = np.linspace(0.5, 2, N).astype("f"), np.linspace(3, 1, M).astype("f")
    state = fit(matrix, start, row_weights=weights[0], col_weights=weights[1])._fitted
    tables, dense = (state.rows.table, state.cols.table), matrix.toarray() != 0
    for side, share in enumerate(regularization.shares(state)):
        own, other, seen = weights[side], weights[1 - side], dense if side == 0 else dense.T
        fixed = tables[1 - side].astype(np.float64)
        # Weights of a row and its number of entries are averaged apart: an average row has both means.
        shared = 0.1 * np.trace(fixed.T @ fixed)
        observed = (seen * other).mean(0) @ (fixed**2).sum(1) * own.mean()
        assert share == pytest.approx(0.2 * K / (shared + observed), rel=1e-4)


@pytest.mark.parametrize(
    "weights",
    [
        dict(row_weights=None, col_weights=None),
        dict(row_weights=3.0, col_weights=2.0),
        dict(row_weights=np.linspace(0.5, 2, N), col_weights=np.linspace(3, 0, M)),
    ],
    ids=["none", "scalar", "vector"],
)
def test_row_and_column_weights(matrix, start, weights):
    dense = {name: 0.0 if value is None else value for name, value in weights.items()}
    assert_fit(fit(matrix, start, **weights), oracle(matrix, **dense).sweeps(*start, 4))


def test_weights_by_file_are_keyed_by_id(tmp_path, matrix, start):
    users = [b"user %03d" % i for i in range(N)]
    items = [f"Käse, {i}".encode() for i in range(M)]
    root = write_dataset(tmp_path / "d", matrix, users, items)
    (tmp_path / "users.csv").write_text("visitorId,margin\nuser 003,4\nuser 020,0\nnobody,9\n")
    (tmp_path / "items.csv").write_text('"Käse, 5",2.5\n', encoding="utf-8")
    paths = {"row_weights": str(tmp_path / "users.csv"), "col_weights": str(tmp_path / "items.csv")}
    rows, cols = np.ones(N), np.ones(M)
    rows[3], rows[20], cols[5] = 4, 0, 2.5
    assert_fit(fit(root, start, **paths), oracle(matrix, rows, cols).sweeps(*start, 4))
    with pytest.raises(ValueError, match="needs the ids of a dataset"):
        fit(matrix, start, **paths)
    for text, message in (
        ("user 003,-1\n", "line 1: the weight must be finite"),
        ("user 003,1\nuser 003,2\n", "line 2: the id is in the file twice"),
        ("user 003,1\nuser 004\n", "line 2: expected id,weight"),
        ("nobody,1\n", "none of its ids"),
    ):
        (tmp_path / "users.csv").write_text(text)
        with pytest.raises(UserError, match=message):
            fit(root, start, **paths)


def test_entry_weights_and_frequency_scaling(matrix, start):
    own = matrix.copy()
    own.data = np.linspace(0, 3, own.nnz).astype("f")
    model = WALSMatrixFactorization(
        embedding_dimension=K, regularization_coeff=0.2, row_init=start[0], col_init=start[1], frequency_exponent=0.5
    ).fit(matrix, passes=2, entry_weights=own)
    expected = oracle(matrix, nu=0.5, entry_weights=own.toarray())
    assert_fit(model, expected.sweeps(*start, 4))


def test_every_form_of_the_same_data_gives_the_same_model(tmp_path, matrix, start):
    model = fit(matrix, start)
    assert_fit(model, oracle(matrix).sweeps(*start, 4))
    whole = tensor(matrix)
    batches = [tf.sparse.retain(whole, whole.indices[:, 0] % 3 == part) for part in (1, 0, 2)]
    transposed = tensor(matrix.T.tocsr())
    fed = WALSMatrixFactorization(N, M, K, 0.1, 0.2, *start, max_sweeps=4)
    for other in (
        fit(whole, start),
        *(fit(matrix.asformat(form), start) for form in ("coo", "csc", "bsr", "dia", "dok", "lil")),
        fit(sp.csr_array(matrix), start),
        fit(matrix.toarray(), start),
        fit(write_dataset(tmp_path / "d", matrix, shards=3), start),
        fed.fit(input_rows=batches, input_cols=[transposed]),
    ):
        np.testing.assert_allclose(other.get_row_factors(), model.get_row_factors(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(other.get_col_factors(), model.get_col_factors(), rtol=1e-5, atol=1e-6)


def test_a_stored_zero_counts_as_observed(start):
    matrix = sp.csr_matrix((np.array([0, 1], "f"), ([0, 0], [0, 1])), shape=(N, M))
    absent = matrix.copy()
    absent.eliminate_zeros()
    assert fit(matrix, start).history[-1].loss != fit(absent, start).history[-1].loss
    assert fit(tensor(matrix), start).history[-1].loss == fit(matrix, start).history[-1].loss


def test_random_start_is_seeded_and_scaled(matrix):
    def first(**kwargs):
        return WALSMatrixFactorization(embedding_dimension=64, **kwargs).fit(matrix, passes=1).get_row_factors()

    np.testing.assert_array_equal(first(seed=3), first(seed=3))
    assert np.abs(first(seed=3) - first(seed=4)).max() > 0
    from trainer.als.collectives import Cluster
    from trainer.als.loop import random_table

    assert random_table(5000, 64, 0, 0, None, Cluster()).std() == pytest.approx(1 / 8, rel=0.01)
    assert random_table(5000, 64, 0, 0, 2.0, Cluster()).std() == pytest.approx(2, rel=0.01)


def test_going_on_from_an_earlier_model(tmp_path, matrix, start):
    whole, half = fit(matrix, start, passes=4), fit(matrix, start, passes=2)
    options = {"embedding_dimension": K, "regularization_coeff": 0.2}
    rest = WALSMatrixFactorization(**options, row_init=half, col_init=half).fit(matrix, passes=2)
    assert rest.history[-1].loss == pytest.approx(whole.history[-1].loss, rel=1e-5)
    from artifacts import factor_tables
    from artifacts.paths import Model

    saved = Model(str(tmp_path / "model"))
    factor_tables.write_table(saved.user_factors, half.get_row_factors(), 3)
    factor_tables.write_table(saved.item_factors, half.get_col_factors(), 2)
    rest = WALSMatrixFactorization(**options, row_init=saved.root, col_init=saved.root).fit(matrix, passes=2)
    assert rest.history[-1].loss == pytest.approx(whole.history[-1].loss, rel=1e-5)


def test_projections_and_evaluation(matrix, start):
    model = fit(matrix, start)
    fixed = model.get_col_factors().astype(float)
    new = sp.csr_matrix(np.vstack([matrix[3].toarray(), np.zeros((1, M)), np.eye(1, M, 5) * 2]).astype("f"))
    expected = oracle(new, row_weights=np.array([1.0, 1, 1])).solve_rows(fixed)
    np.testing.assert_allclose(model.get_projections(new), expected, rtol=1e-3, atol=1e-5)
    assert not model.get_projections(new)[1].any()
    weighted = oracle(new, row_weights=np.array([0.5, 1, 3])).solve_rows(fixed)
    np.testing.assert_allclose(model.get_projections(tensor(new), [0.5, 1, 3]), weighted, rtol=1e-3, atol=1e-5)
    columns = oracle(matrix).solve_cols(model.get_row_factors())
    np.testing.assert_allclose(
        model.get_projections(matrix.T.tocsr(), project_row=False), columns, rtol=1e-3, atol=1e-5
    )
    refitted = oracle(matrix).solve_rows(fixed)
    loss, rwse = oracle(matrix).loss(refitted, fixed)
    found = model.evaluate(matrix)
    assert found["WALS_loss"] == pytest.approx(loss, rel=1e-5)
    assert found["WALS_RWSE"] == pytest.approx(rwse, rel=1e-5)
    assert found["completed_sweeps"] == 4


def test_callback_sees_each_pass(matrix, start):
    seen = []
    model = WALSMatrixFactorization(embedding_dimension=K, row_init=start[0], col_init=start[1])
    model.fit(matrix, passes=3, callback=lambda *values: seen.append(values))
    assert [values[0] for values in seen] == [1, 2, 3]
    assert [values[1:3] for values in seen] == [(s.loss, s.rwse) for s in model.history[1::2]]
    assert all(values[3] > 0 for values in seen)


def test_tolerance_stops_where_the_loss_hardly_falls(matrix, start):
    model = fit(matrix, start, passes=200, tolerance=1e-3)
    losses = [sweep.loss for sweep in model.history[1::2]]
    falls = [(before - after) / before for before, after in zip(losses, losses[1:], strict=False)]
    assert 2 <= len(losses) < 200
    assert falls[-1] < 1e-3 and all(fall >= 1e-3 for fall in falls[:-1])


def test_held_out_rows_stop_the_fit():
    rng = np.random.default_rng(1)
    tastes = (np.arange(60) % 3)[:, None] == (np.arange(30) % 3)[None]
    observed = tastes & (rng.random((60, 30)) < 0.6)
    dense = observed.astype("f")
    shown, hidden = dense[40:].copy(), dense[40:].copy()
    for row in range(20):
        places = np.flatnonzero(dense[40 + row])
        shown[row, places[:2]] = 0
        hidden[row, places[2:]] = 0
    held = HeldOut(to_rows(sp.csr_matrix(shown), "x")[0], to_rows(sp.csr_matrix(hidden), "x")[0], k=10, patience=2)
    model = WALSMatrixFactorization(embedding_dimension=4, regularization_coeff=0.1)
    model.fit(sp.csr_matrix(dense[:40]), passes=50, held_out=held)
    best = int(np.argmax(held.values))
    assert held.values[best] > 0.95
    assert len(held.values) == best + 3 == model.completed_sweeps // 2


def test_solvers_by_name(matrix, start):
    exact = fit(matrix, start).history[-1].loss
    for solver in ("cholesky", "cg", "block"):
        assert fit(matrix, start, solver=solver).history[-1].loss == pytest.approx(exact, rel=1e-2)
    assert fit(matrix, start).solver == "exact (auto, k = 4)"


def bad(matrix, places, value):
    matrix = matrix.copy()
    matrix[places] = value
    return matrix


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(embedding_dimension=0), "embedding_dimension is 0"),
        (dict(max_sweeps=0), "max_sweeps is 0"),
        (dict(unobserved_weight=-0.1), "unobserved_weight is -0.1"),
        (dict(regularization_coeff=float("nan")), "regularization_coeff is nan"),
        (dict(frequency_exponent=float("inf")), "frequency_exponent is inf"),
        (dict(init_stddev=0.0), "init_stddev is 0.0"),
        (dict(num_rows=N + 1), f"{N} rows, and num_rows is {N + 1}"),
        (dict(num_cols=M - 1), f"{M} cols, and num_cols is {M - 1}"),
        (dict(row_weights=np.ones(N + 1)), rf"row_weights has shape \[{N + 1}\], not \[{N}\]"),
        (dict(col_weights=-1.0), r"col_weights\[0\] is -1"),
        (dict(col_weights=np.r_[np.ones(M - 1), np.nan]), rf"col_weights\[{M - 1}\] is nan"),
        (dict(row_init=np.ones((N, K + 1))), r"row_init has shape"),
        (dict(col_init=np.full((M, K), np.inf)), r"col_init has inf at \[0, 0\]"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(matrix, arguments, message):
    with pytest.raises(ValueError, match=message):
        WALSMatrixFactorization(**{"embedding_dimension": K} | arguments).fit(matrix)


def test_wrong_data_is_named(matrix):
    model = WALSMatrixFactorization(embedding_dimension=K)
    whole = tensor(matrix)
    outside = tf.SparseTensor([[0, M]], [1.0], [N, M])
    twice = tf.SparseTensor([[2, 3], [2, 3]], [1.0, 2.0], [N, M])
    for data, message in (
        (bad(matrix.tolil(), (3, 4), np.nan).tocsr(), r"matrix has nan at \[3, 4\]"),
        (bad(matrix.tolil(), (3, 4), np.inf).tocsr(), r"matrix has inf at \[3, 4\]"),
        (outside, rf"entry at \[0, {M}\], outside"),
        (twice, r"entry \[2, 3\] twice"),
        (np.ones(3), "matrix has 1 dimensions, not 2"),
        (np.array([["a"]]), "matrix has values of type <U1; pass numbers"),
        ([[1.0, 2.0]], "matrix is a list of list; pass a dense array, a scipy.sparse matrix"),
        (7, "matrix is a int; pass a dense array"),
        (sp.csr_matrix((0, 4), dtype=np.float32), "has no rows"),
        (None, "either a matrix or input_rows"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(data)
    with pytest.raises(ValueError, match="go together"):
        model.fit(input_rows=[whole])
    with pytest.raises(ValueError, match="transpose of the other"):
        model.fit(input_rows=[whole], input_cols=[tf.SparseTensor([[0, 0]], [1.0], [M, N])])
    negative = matrix.copy()
    negative.data[5] = -1
    with pytest.raises(ValueError, match=r"entry_weights has -1\.0 at"):
        model.fit(matrix, entry_weights=negative)
    with pytest.raises(ValueError, match="must have the same entries as matrix"):
        model.fit(matrix, entry_weights=matrix[:, ::-1])
    with pytest.raises(ValueError, match="not trained yet"):
        model.get_row_factors()
    trained = WALSMatrixFactorization(embedding_dimension=K).fit(matrix, passes=1)
    with pytest.raises(ValueError, match="rows has 3 columns"):
        trained.get_projections(sp.eye(3, format="csr", dtype=np.float32))
    with pytest.raises(ValueError, match=r"projection_weights\[1\] is -1"):
        trained.get_projections(matrix[:2], [1, -1])
