"""The item-item term of a SavedModel whose visitors may be given some of their items again, against dense NumPy."""

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings
from ranking.heap import Best
from ranking.neighbourhood import Neighbourhood, on_a_grid
from tests.support import quick_export
from tests.support.datasets import write_dataset
from trainer.als import wals
from trainer.saved_model import export

USERS, ITEMS, K, GAMMA = 50, 40, 6, 0.6


class World:
    def __init__(self, root):
        rng = np.random.default_rng(11)
        self.have = rng.random((USERS, ITEMS)) < 0.2
        self.again = self.have & (rng.random((USERS, ITEMS)) < 0.4)
        matrix = sp.csr_matrix(self.have.astype(np.float32))
        self.u, self.v = (rng.integers(-2, 3, (size, 4)).astype(np.float32) / 4 for size in (USERS, ITEMS))
        near = np.argsort(rng.random((ITEMS, ITEMS)), axis=1)[:, :5]
        related = on_a_grid(Best(near, rng.random(near.shape).astype(np.float32)))
        self.related = sp.csr_matrix((related.values, related.indices, related.indptr), (ITEMS, ITEMS)).toarray()
        rows = SparseRows.from_matrix(matrix)
        histories = SparseRows(rows.keys, rows.indptr, rows.indices, rows.values, again=self.again[self.have])
        users, items = (
            wals.Side(table, matrix.getnnz(axis), np.ones(len(table), np.float32), len(table))
            for table, axis in ((self.u, 1), (self.v, 0))
        )
        dataset, path = Dataset(write_dataset(root / "dataset", matrix)), str(root / "saved_model")
        own, objective = ColdStartSettings(min_ratings=0, min_site_ratings=0), wals.Objective(0.1, 0.2, 0.5)
        term = Neighbourhood(related, GAMMA, few_items=True)
        with quick_export.only("recommend", "audience"):
            export.save(path, dataset, users, items, [histories], objective, own, neighbourhood=term)
        self.signatures = tf.saved_model.load(path).signatures
        products = np.add.accumulate(self.u.astype("d")[:, None] * self.v.astype("d")[None], axis=2)[:, :, -1]
        weights = GAMMA / np.sqrt(np.maximum(self.have.sum(1, keepdims=True), 1))
        self.scores = (products + weights * (self.have @ self.related.astype("d"))).astype(np.float32)

    def ask(self, signature: str, name: str, size: int):
        ids = tf.constant([b"%s%d" % (b"v" if name == "visitorId" else b"c", number) for number in range(size)])
        return {
            key: value.numpy() for key, value in self.signatures[signature](**{name: ids, "k": tf.constant(K)}).items()
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("again"))


@pytest.mark.parametrize(
    ("signature", "asked", "listed", "letter"),
    [("recommend", "visitorId", "contentIds", b"c"), ("audience", "contentId", "visitorIds", b"v")],
)
def test_sums_are_over_all_items_and_only_some_are_left_out(world, signature, asked, listed, letter):
    left_out, scores = world.have & ~world.again, world.scores
    if signature == "audience":
        left_out, scores = left_out.T, scores.T
    found = world.ask(signature, asked, len(scores))
    order = np.argsort(-np.where(left_out, -np.inf, scores), axis=1, kind="stable")[:, :K]
    assert (found["count"] == K).all()
    assert found[listed].tolist() == [[letter + b"%d" % number for number in row] for row in order]
    np.testing.assert_array_equal(found["scores"], np.take_along_axis(scores, order, 1))
