"""recommend, similar_items, save and load, against dense NumPy, with the caller's own ids."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from tests.support.datasets import write_dataset
from trainer import WALSMatrixFactorization
from trainer.inputs import frames

USERS, ITEMS = [f"u{n}" for n in range(14)], [f"i{n}" for n in range(11)]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    has = rng.random((len(USERS), len(ITEMS))) < 0.4
    users, items = np.nonzero(has)
    return pa.table({
        "user": np.array(USERS, object)[users],
        "item": np.array(ITEMS, object)[items],
        "value": rng.random(len(users)) + 0.1,
        "weight": rng.random(len(users)) + 0.5,
    })  # fmt: skip


@pytest.fixture(scope="module")
def model(frame):
    return WALSMatrixFactorization(embedding_dimension=3, max_sweeps=4, seed=5).fit(frame)


def has(frame):
    return set(zip(*(frame.column(name).to_pylist() for name in ("user", "item")), strict=True))


def test_lists_are_the_best_items_that_a_user_lacks(model, frame):
    content, seen = frames.read(frame, "matrix"), has(frame)
    scores = model.get_row_factors().astype(float) @ model.get_col_factors().astype(float).T
    items = content.item_ids.tolist()
    for exclude in (True, False):
        found = model.recommend(USERS[::3], k=4, exclude_seen=exclude)
        for user, ids, values in zip(USERS[::3], found.ids, found.scores, strict=True):
            row = scores[content.user_ids.tolist().index(user)]
            able = [item for item in items if not exclude or (user, item) not in seen]
            expected = sorted(able, key=lambda item: -row[items.index(item)])[:4]
            assert ids.tolist() == expected
            np.testing.assert_allclose(values, [row[items.index(item)] for item in expected], rtol=1e-6)
    everybody = model.recommend(k=len(ITEMS))
    assert everybody.ids.shape == (len(USERS), len(ITEMS))
    short = everybody.ids == None  # noqa: E711 - of each element
    assert short.any() and (everybody.scores[short] == -np.inf).all()


def test_similar_items_are_those_of_the_greatest_cosine(model, frame):
    items = frames.read(frame, "matrix").item_ids.tolist()
    table = model.get_col_factors().astype(float)
    unit = table / np.linalg.norm(table, axis=1)[:, None]
    found = model.similar_items(["i3", "i0"], k=3)
    for item, ids, values in zip(("i3", "i0"), found.ids, found.scores, strict=True):
        cosines = unit @ unit[items.index(item)]
        expected = sorted((other for other in items if other != item), key=lambda other: -cosines[items.index(other)])
        assert ids.tolist() == expected[:3]
        np.testing.assert_allclose(values, sorted(cosines[cosines < 1 - 1e-9])[::-1][:3], rtol=1e-5)


def test_weights_of_a_frame_are_entry_weights(model, frame):
    content = frames.read(frame, "matrix")
    plain = WALSMatrixFactorization(embedding_dimension=3, max_sweeps=4, seed=5)
    plain.fit(content.matrix, entry_weights=content.weights)
    np.testing.assert_array_equal(plain.get_col_factors(), model.get_col_factors())
    ids = plain.recommend([2], k=len(ITEMS)).ids
    assert ids.dtype.kind == "i" and (ids == -1).any(), "a matrix has numbers for ids"


def test_a_saved_model_answers_the_same_and_trains_again(model, frame, tmp_path):
    path = tmp_path / "deep" / "model.npz"
    model.save(path)
    loaded = WALSMatrixFactorization.load(path)
    assert loaded.recommend(["u3"]).ids.tolist() == model.recommend(["u3"]).ids.tolist()
    assert loaded.similar_items(["i3"]).ids.tolist() == model.similar_items(["i3"]).ids.tolist()
    assert loaded.history == model.history and loaded.solver == model.solver
    content = frames.read(frame, "matrix")
    np.testing.assert_array_equal(loaded.get_projections(content.matrix), model.get_projections(content.matrix))
    np.testing.assert_array_equal(loaded.fit(frame).get_col_factors(), model.get_col_factors())


def test_a_dataset_has_the_sites_ids(tmp_path):
    matrix = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0]], np.float32)
    root = write_dataset(tmp_path / "d", sp.csr_matrix(matrix), users=[b"ann", b"bob", b"007"], shards=2)
    model = WALSMatrixFactorization(embedding_dimension=2, max_sweeps=2).fit(root)
    names = {"c0", "c1", "c2", "c3"}
    assert set(model.recommend(["007"], k=3).ids[0]) == names - {"c0"}
    assert model.recommend(["ann"], k=3).ids[0].tolist() == ["c2", None, None]
    model.save(tmp_path / "m.npz")
    assert WALSMatrixFactorization.load(tmp_path / "m.npz").recommend(["ann"], k=1).ids.tolist() == [["c2"]]


def test_mistakes_are_named(model, frame, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"text")
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    for call, said in (
        (lambda: model.recommend("u3"), "user_ids is a str; pass a list of ids"),
        (lambda: model.recommend(["u3", "u99", "u98"]), "user_ids has 2 ids .* lack, the first at position 1$"),
        (lambda: model.similar_items([3]), "item_ids has 1 ids .* position 0; it is of type int, the data have str"),
        (lambda: model.recommend(["u3"], k=0), "k is 0; it must be a whole number of at least 1"),
        (lambda: model.fit(frame, entry_weights=np.ones((2, 2))), "a frame has the weights in its fourth column"),
        (lambda: WALSMatrixFactorization().recommend([1]), "not trained yet"),
        (lambda: WALSMatrixFactorization.load(tmp_path / "x.npz"), "x.npz is not a model that .* wrote"),
        (lambda: WALSMatrixFactorization.load(tmp_path / "other.npz"), "is not a model that .* wrote"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
