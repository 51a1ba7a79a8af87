"""docs/moving.md: its code returns what the other libraries return: their equations in NumPy, or they (make peers)."""

import os
import re
import subprocess
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

import trainer
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
CODE = dict(re.findall(r"^```python\n# ([a-z0-9 ]+).*?\n(.*?)^```", PAGE, re.M | re.S))


def plays(rows: int = 30, cols: int = 23) -> sp.csr_matrix:
    rng = np.random.default_rng(4)
    counts = rng.integers(1, 9, (rows, cols)) * (rng.random((rows, cols)) < 0.3)
    counts[:, 0] = 1  # nobody without any, and one item that all have
    return sp.csr_matrix(counts.astype(np.float32))


def run_page(name: str, matrix: sp.csr_matrix) -> trainer.WALSMatrixFactorization:
    """Return the model that the page's code makes from a matrix."""
    scope = {"plays": matrix}
    exec(compile(CODE[name], f"docs/moving.md: {name}", "exec"), scope)  # noqa: S102 - our own page
    return scope["model"]


def _row(left, right, k=16):
    return np.linalg.solve(left, right) if left.any() else np.zeros(k)


def tf1(values, y):
    """tf.contrib.factorization: W = w0 + R C where there is an entry, all of the zero-filled row counts."""
    weight = 0.1 + (values != 0)
    return _row(y.T @ (weight[:, None] * y) + 0.5 * np.eye(16), y.T @ (weight * values))


def implicit(values, y):
    """implicit/cpu/als.py: A = Y'Y + reg I + sum (c - 1) y y', b = sum c y, with c = alpha x value."""
    confidence, seen = 40 * values, values != 0
    left = y.T @ y + 0.05 * np.eye(16) + y[seen].T @ ((confidence[seen] - 1)[:, None] * y[seen])
    return _row(left, y[seen].T @ confidence[seen])


def spark(values, y):
    """Solve as ALS.scala does in computeFactors.

    YtY, c1 = alpha |r|, ls.add(y, (1 + c1) / c1, c1), lambda = numExplicits regParam.
    """
    seen = values > 0
    c1 = 40 * values[seen]
    left = y.T @ y + y[seen].T @ (c1[:, None] * y[seen]) + 0.02 * seen.sum() * np.eye(16)
    return _row(left, y[seen].T @ (1 + c1))


def spark_explicit(values, y):
    seen = values != 0
    return _row(y[seen].T @ y[seen] + 0.1 * seen.sum() * np.eye(16), y[seen].T @ values[seen])


def bigquery(values, y):
    """Hu, Koren & Volinsky 2008: (Y'C Y + lambda I) x = Y'C p with c = 1 + alpha r."""
    confidence = 1 + 40 * values
    return _row(y.T @ (confidence[:, None] * y) + np.eye(16), y.T @ (confidence * (values > 0)))


PEERS = {"tf1": tf1, "implicit": implicit, "spark": spark, "spark explicit": spark_explicit, "bigquery": bigquery}


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("turned", [False, True], ids=["items", "visitors"])
def test_the_code_on_the_page_solves_the_other_librarys_equations(name, turned):
    """The last sweep solved the items with the visitors as they are; turned round, it is the other side's turn."""
    matrix = plays().T.tocsr() if turned else plays()
    model = run_page(name, matrix)
    users, found = (table.astype(float) for table in (model.get_row_factors(), model.get_col_factors()))
    dense = matrix.toarray().astype(float)
    expected = np.array([PEERS[name](dense[:, item], users) for item in range(dense.shape[1])])
    assert np.abs(expected).max() > 0.1
    close = 1e-3 if name == "spark" else 1e-4  # n + 0.001 in place of n
    np.testing.assert_allclose(found, expected, rtol=close, atol=close / 10 * np.abs(expected).max())


def test_every_worked_code_of_the_page_is_checked():
    assert set(CODE) == set(PEERS)


def test_only_ratios_count():
    binary = plays()
    binary.data[:] = 1
    tables = []
    for w0, weight, ridge in ((1, 39, 0.05), (0.1, 3.9, 0.005)):
        model = trainer.WALSMatrixFactorization(
            embedding_dimension=4, unobserved_weight=w0, row_weights=weight, regularization_coeff=ridge
        )
        tables.append(model.fit(binary, passes=3).get_col_factors())
    np.testing.assert_allclose(*tables, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif("WALS_PEERS" not in os.environ, reason="make peers runs implicit and Spark themselves")
@pytest.mark.parametrize("name", ["implicit", "spark", "spark explicit"])
def test_the_code_on_the_page_gives_what_the_library_itself_gives(name, tmp_path, monkeypatch):
    """Every visitor's score of every item, ten passes from one start; for Spark, items first, all is turned."""
    matrix = plays()
    start = np.random.default_rng(1).normal(0, 0.25, (matrix.shape[1], 16)).astype(np.float32)
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
    np.savez(tmp_path / "in.npz", start=start, **parts)
    command = [
        os.environ["WALS_PEERS"],
        ROOT / "tests" / "support" / "peers.py",
        name,
        tmp_path / "in.npz",
        tmp_path / "out.npz",
    ]
    subprocess.run(command, check=True, capture_output=True)
    theirs = np.load(tmp_path / "out.npz")
    turned = name != "implicit"
    begin = theirs["first_users"].astype(np.float32) if turned else start
    monkeypatch.setattr(trainer, "WALSMatrixFactorization", partial(trainer.WALSMatrixFactorization, col_init=begin))
    model = run_page(name, matrix.T.tocsr() if turned else matrix)
    users, items = model.get_row_factors(), model.get_col_factors()
    ours = items @ users.T if turned else users @ items.T
    expected = theirs["users"] @ theirs["items"].T
    difference = np.abs(ours - expected).max() / np.abs(expected).max()
    print(f"{name}: scores differ by {difference:.1e} of the greatest")
    assert difference < 1e-3
