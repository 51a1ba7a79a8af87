"""Factors from attributes in a training: its regression, items of few views, new items, and the manifest."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables
from artifacts.manifests import AttributesAccount, ModelManifest
from artifacts.paths import Model
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings, TrainingSettings
from ranking.attributes import prior as priors
from ranking.attributes.new_items import NewItems
from ranking.fold_in import Projection
from tests.support import datasets
from tests.support.features import add_features, rows_of
from trainer.als import wals
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization
from trainer.als.solver import Solver
from trainer.attributes import ridge
from trainer.inputs import dataset_rows
from trainer.job import attributes, training_job

USERS, ITEMS, K = 120, 40, 4
NEW = [b"new a", b"new b", b"without"]


class World:
    """Visitors who like one of five topics; the features of an item are its topic, and some noise."""

    def __init__(self, root):
        rng = np.random.default_rng(3)
        topics, self.root = np.arange(ITEMS) % 5, root
        likes = rng.random((USERS, ITEMS)) < np.where(np.arange(USERS)[:, None] % 5 == topics, 0.5, 0.05)
        likes[:, :8] &= np.cumsum(likes[:, :8], axis=0) <= np.arange(8)  # 0 to 7 views
        self.matrix = sp.csr_matrix(likes.astype(np.float32))
        self.views = likes.sum(axis=0)
        self.features = np.c_[np.eye(5)[topics], rng.random((ITEMS, 7)) < 0.2].astype(float)
        self.features[[4, 20]] = 0  # one of few views, one of many
        new = np.zeros((3, 12))
        new[0, 1], new[1, [2, 6]] = 1, 1
        dataset = datasets.write_dataset(root / "dataset", self.matrix)
        add_features(dataset, self.features, (NEW, new))
        self.new = rows_of(new).matrix().toarray()

    def train(self, name: str, **cold_start) -> ModelManifest:
        settings, model = TrainingSettings(embedding_dimension=K, max_sweeps=6), str(self.root / name)
        return training_job.train(
            settings, str(self.root / "dataset"), model, False, ColdStartSettings(**cold_start), None
        )

    def table(self, name: str) -> np.ndarray:
        return factor_tables.read_table(Model(str(self.root / name)).item_factors)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("attributes"))


def test_the_regression_new_items_and_known_items(world, without_graphs, capsys):
    world.train("plain", attributes=False)
    account = world.train("model", attributes_penalty=0.5, few_views=6, new_items_length=1.0).attributes
    plain, table = world.table("plain"), world.table("model")

    has_some = world.features.any(axis=1)
    shown, features = has_some & (world.views > 0), rows_of(world.features).matrix().toarray()
    padded, penalty = np.c_[features, np.ones(ITEMS)], 0.5 * np.diag([*np.ones(12), 0])
    used = padded[shown]
    regression = np.linalg.solve(used.T @ used + penalty, used.T @ plain[shown].astype(float))
    model = Model(str(world.root / "model"))
    learned = factor_tables.read_table(model.item_attributes)
    assert np.linalg.norm(padded @ (learned - regression)) < 0.02 * np.linalg.norm(padded @ regression)

    lengths = [np.linalg.norm(one[shown], axis=1).mean() for one in (plain, padded @ learned)]
    new = NewItems.read(model, account.new_items, K)
    assert new.ids == NEW[:2]  # nothing is known of the third
    expected = lengths[0] / lengths[1] * (np.c_[world.new, np.ones(3)] @ learned)[:2]
    np.testing.assert_allclose(new.factors, expected, atol=1e-5)

    assert (account.reach, account.reach_gain < 0, account.reach_views > 20) == (12, True, True)
    changed = shown & (world.views < 12)
    np.testing.assert_array_equal(table[~changed], plain[~changed])
    assert (np.abs(table - plain)[changed].max(axis=1) > 1e-4).all()
    users, many = factor_tables.read_table(model.user_factors).astype(float), changed & (world.views >= 6)
    sizes = [np.sqrt(((users @ one.T) ** 2).mean(axis=0)) for one in (plain, table)]
    np.testing.assert_allclose(sizes[1][many], sizes[0][many], rtol=1e-5)
    before, after = (np.linalg.norm(one, axis=1) for one in (plain, table))
    # With the more views, the nearer to the trained direction.
    cosines = (table * plain).sum(axis=1)[changed] / (before * after)[changed]
    views = world.views[changed]
    assert cosines[views >= 6].mean() > cosines[views < 6].mean() + 0.01
    untouched = world.train("untouched", few_views=0)
    np.testing.assert_array_equal(world.table("untouched"), plain)
    assert untouched.attributes.known_items == 0
    assert account.scale == pytest.approx(lengths[0] / lengths[1], rel=1e-5)
    counted = account.features, account.items, account.known_items, account.new_items, account.without_features
    assert counted == (12, shown.sum(), changed.sum(), 2, 1)
    assert "2 new items, 0 more of known time alone, 1 more without features" in capsys.readouterr().out


def test_items_start_from_their_attributes_in_each_pass_if_the_settings_ask_for_it(world, without_graphs):
    """After the last pass, by the solver of single rows: the items of the users, a regression, and the views on it."""
    manifest = world.train("within", attributes_in_training=True, few_views=0)
    model, settings = Model(str(world.root / "within")), manifest.settings
    users, weights, item_weights = map(
        factor_tables.read_table, (model.user_factors, model.user_weights, model.item_weights)
    )
    ridges = settings.unobserved_weight, float(settings.regularization_coeff), settings.frequency_exponent
    projection = Projection(users, weights[:, 0], wals.Objective(*ridges))
    by_item = SparseRows.from_matrix(world.matrix.T.tocsr())
    solved = projection.solve(by_item, item_weights[:, 0])
    shown, features = world.features.any(axis=1) & (world.views > 0), rows_of(world.features).matrix()
    start = ridge.fit(features[shown], solved[shown], 1.0).factors(features)
    expected = np.where(shown[:, None], priors.fold_in(start, projection, by_item, item_weights[:, 0]), solved)
    assert np.abs(expected - solved).max() > 0.1
    np.testing.assert_allclose(world.table("within"), expected, atol=1e-2)  # the regression is solved to 0.02
    assert np.abs(world.table("within") - solved)[shown].max() > 0.01


def test_without_the_setting_or_without_features_nothing_is_learned(world, without_graphs, tmp_path):
    assert world.train("off", attributes=False).attributes == AttributesAccount()
    assert not list((world.root / "off/factors").glob("*attributes*"))
    dataset = datasets.write_dataset(tmp_path / "dataset", world.matrix)
    settings = TrainingSettings(embedding_dimension=2, max_sweeps=2)
    manifest = training_job.train(settings, dataset, str(tmp_path / "m"), False)
    assert manifest.attributes == AttributesAccount()


class Half(Cluster):
    """One of two processes, threads here, that exchange arrays at a barrier; rows alternate between them."""

    size = 2

    def __init__(self, rank: int, barrier: threading.Barrier, parts: list):
        self.rank, self._barrier, self._parts = rank, barrier, parts

    def _exchange(self, own):
        self._parts[self.rank] = own
        self._barrier.wait()
        parts = list(self._parts)
        self._barrier.wait()
        return parts

    def sum(self, array):
        return sum(self._exchange(array.astype(np.float64)))

    def broadcast(self, array):
        return self._exchange(array)[0].astype(np.float64)

    def all_gather(self, own, size):
        gathered = np.empty((size, *own.shape[1:]), own.dtype)
        for rank, part in enumerate(self._exchange(own)):
            gathered[rank::2] = part
        return gathered


def test_two_processes_learn_what_one_does(world):
    rng, settings = np.random.default_rng(1), ColdStartSettings(few_views=6)
    tables = [rng.normal(size=(size, K)).astype("f") for size in (USERS, ITEMS)]
    blocks = [SparseRows.from_matrix(matrix.tocsr()) for matrix in (world.matrix, world.matrix.T.tocsr())]
    info = dataset_rows.read_info(str(world.root / "dataset"))

    def learn(cluster: Cluster) -> tuple[attributes.Learned | None, np.ndarray]:
        sides, rows = [], []
        for table, block in zip(tables, blocks, strict=True):
            own = block.take(np.arange(cluster.rank, len(table), cluster.size))
            rows.append([replace(own, keys=np.arange(len(own)))])
            weights = np.ones(len(own), np.float32)
            sides.append(wals.Side(table[cluster.rank :: cluster.size].copy(), own.lengths, weights, len(table)))
        fixed = wals.Objective(0.1, 0.5), Solver("cholesky"), cluster
        state = Factorization(sides[0], sides[1], rows[0], rows[1], *fixed)
        return attributes.learn(settings, info, state), state.cols.table

    one, table = learn(Cluster())
    barrier, parts = threading.Barrier(2, timeout=60), [None, None]
    with ThreadPoolExecutor(2) as pool:
        (first, evens), (second, odds) = pool.map(learn, [Half(rank, barrier, parts) for rank in (0, 1)])
    for other in (first, second):
        np.testing.assert_allclose(other.prior.table, one.prior.table, atol=1e-6)
        np.testing.assert_allclose(other.new.factors, one.new.factors, atol=1e-6)
        assert other.account.known_items == one.account.known_items > 0
    np.testing.assert_allclose(evens, table[::2], atol=1e-5)
    np.testing.assert_allclose(odds, table[1::2], atol=1e-5)
