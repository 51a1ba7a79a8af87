"""Visitors without views, by their attributes: the same from batch prediction and from the SavedModel."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts import factor_tables
from artifacts.manifests import DatasetManifest, FieldFeatures, ModelManifest
from artifacts.names import USER
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import ColdStartSettings, Settings, TrainingSettings
from pipeline.prediction import plan as plans
from pipeline.prediction import recommend
from pipeline.prediction.items import Items
from serving.models.engine.engine import Engine
from tests.support import quick_export
from tests.support.datasets import write_dataset, write_items
from tests.support.features import add_features, rows_of
from tests.support.new_items import feature_of_each
from trainer.job import training_job

VISITORS, ITEMS, TOPICS, K = 200, 30, 5, 6
NEW = [b"new %d" % number for number in range(7)]  # the last one has no features
COLD_START = ColdStartSettings(min_ratings=3, min_site_ratings=10, new_visitors="attributes", user_attributes_penalty=2)
TRAINING = TrainingSettings(embedding_dimension=TOPICS, max_sweeps=6)


class Countries(tf.Module):
    """Makes the features of World's visitors of their country, as the SavedModel of a dataset does; "" has none."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "country")])
    def user_features(self, country: tf.Tensor) -> dict[str, tf.Tensor]:
        return feature_of_each(country)


class World:
    """A model of visitors whose country is their topic, and visitors without views in two files."""

    def __init__(self, root):
        rng, self.root = np.random.default_rng(0), root
        likes = np.arange(VISITORS) % TOPICS
        has = rng.random((VISITORS, ITEMS)) < np.where(likes[:, None] == np.arange(ITEMS) % TOPICS, 0.5, 0.05)
        self.dataset = Dataset(write_dataset(root / "dataset", sp.csr_matrix(1.0 * has), shards=2))
        names = [name.decode() for name in Vocabulary.read(self.dataset.vocab_items).ids]
        write_items(self.dataset, names, has.sum(0), first_time_ms=np.zeros(ITEMS), last_time_ms=np.zeros(ITEMS))
        self.features = np.eye(TOPICS)[likes]
        new = np.vstack([np.eye(TOPICS)[np.arange(6) % TOPICS], np.zeros((1, TOPICS))])
        add_features(self.dataset.root, self.features, (NEW, new), shards=3, side=USER)
        module = Countries()
        tf.saved_model.save(module, self.dataset.user_features_fn, signatures={"user_features": module.user_features})
        with quick_export.only("recommend", "recommend_from_history", "recommend_from_attributes"):
            training_job.train(TRAINING, self.dataset.root, str(root / "model"), False, COLD_START)
        self.model = Model(str(root / "model"))
        self.users, self.items = map(factor_tables.read_table, (self.model.user_factors, self.model.item_factors))
        self.has, self.row_weight = has, float(TRAINING.row_weights)
        self.user_weights, self.item_weights = (
            factor_tables.read_table(path)[:, 0] for path in (self.model.user_weights, self.model.item_weights)
        )

    def from_prior(self, topic: int, have: np.ndarray, row_weight: float) -> np.ndarray:
        """Return v = B'g + y of a visitor with some items, by the formulas in ranking/attributes/prior.py."""
        table, items = factor_tables.read_table(self.model.user_attributes).astype(float), self.items.astype(float)
        prior, w0 = table[topic] + table[-1], TRAINING.unobserved_weight
        weights = row_weight * self.item_weights[have]
        ridge = float(ModelManifest.read(self.model.manifest).settings.regularization_coeff)
        ridge *= (len(have) + w0 * len(items)) ** TRAINING.frequency_exponent
        left = w0 * items.T @ items + ridge * np.eye(len(prior)) + (items[have].T * weights) @ items[have]
        rest = 1 - weights / (w0 + weights) * (items[have] @ prior)
        return prior + np.linalg.solve(left, items[have].T @ ((w0 + weights) * rest))

    def lists(self, **prediction) -> dict[bytes, tuple[str, list[int], list[float]]]:
        """Return rule, items and scores of each visitor in the answers of batch prediction."""
        privacy = prediction.pop("privacy", {})
        tree = {"dataset_dir": self.dataset.root, "model_dir": self.model.root, "privacy": privacy}
        plan = plans.make(Settings.model_validate(tree | {"prediction": {"top_k": K, **prediction}}))[0]
        answers, items = {}, Items(plan)
        for shard in range(plan.answer_shards):
            for block in recommend.recommendations(plan, items, shard, plan.asked_ids()):
                for row, visitor in enumerate(block.asked):
                    assert visitor not in answers
                    best = block.best.indices[row].tolist(), block.best.scores[row].tolist()
                    answers[visitor] = (block.rules[row], *best)
        return answers


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("visitors"))


def test_visitors_without_items_have_the_factors_of_their_attributes(world):
    padded = np.c_[rows_of(world.features).matrix().toarray(), np.ones(VISITORS)]
    penalty = 2 * np.diag([*np.ones(TOPICS), 0])
    regression = np.linalg.solve(padded.T @ padded + penalty, padded.T @ world.users.astype(float))
    np.testing.assert_allclose(factor_tables.read_table(world.model.user_attributes), regression, atol=1e-5)
    account = ModelManifest.read(world.model.manifest).visitors
    assert (account.features, account.visitors) == (TOPICS, VISITORS)
    answers = world.lists()
    assert len(answers) == VISITORS + len(NEW)
    for number, visitor in enumerate(NEW[:6]):
        rule, items, scores = answers[visitor]
        expected = world.items @ (regression[number % TOPICS] + regression[-1])
        assert rule == "attributes" and items == np.argsort(-expected, kind="stable")[:K].tolist()
        np.testing.assert_allclose(scores, expected[items], atol=1e-4)
        assert np.mean(np.array(items) % TOPICS == number % TOPICS) > 0.8
    assert answers[NEW[6]][0] == "popularity"


def test_the_saved_model_gives_the_same_lists(world):
    answers = world.lists()
    signature = tf.saved_model.load(world.model.saved_model).signatures["recommend_from_attributes"]
    countries = [str(number % TOPICS) for number in range(6)] + [""]
    nothing = {"contentIds": tf.constant([[b""]] * len(NEW)), "ratings": tf.zeros([len(NEW), 1])}
    served = signature(country=tf.constant(countries), k=tf.constant(K), **nothing)
    ids = Vocabulary.read(world.dataset.vocab_items).ids
    for row, visitor in enumerate(NEW):
        rule, items, scores = answers[visitor]
        assert served["rule"].numpy()[row] == rule.encode()
        assert served["contentIds"].numpy()[row].tolist() == [ids[item] for item in items]
        assert served["scores"].numpy()[row].tolist() == scores


def test_few_items_move_a_visitor_away_from_the_attributes(world):
    """The factors of visitors with few items are those of a dense solve, in all three places."""
    answers, ids = world.lists(), Vocabulary.read(world.dataset.vocab_users).ids
    few = [user for user in range(VISITORS) if 0 < world.has[user].sum() <= 3]
    many = [user for user in range(VISITORS) if world.has[user].sum() > 3]
    loaded = tf.saved_model.load(world.model.saved_model)
    item_ids = Vocabulary.read(world.dataset.vocab_items).ids
    for user in few[:10]:
        have = np.flatnonzero(world.has[user])
        expected = world.from_prior(user % TOPICS, have, world.user_weights[user])
        np.testing.assert_allclose(loaded.users.numpy()[user], expected, atol=1e-5)
        rule, items, scores = answers[ids[user]]
        assert rule == "projection" and not set(items) & set(have.tolist())
        np.testing.assert_allclose(scores, (world.items @ expected)[items], atol=1e-4)
    for user in many[:10]:
        assert answers[ids[user]][0] == "factors"
    request = {"country": tf.constant(["2", ""]), "k": tf.constant(K)}
    request |= {"contentIds": tf.constant([item_ids[:2]] * 2), "ratings": tf.ones([2, 2])}
    served = loaded.signatures["recommend_from_attributes"](**request)
    plain = {"contentIds": request["contentIds"], "ratings": request["ratings"], "k": request["k"]}
    without = loaded.signatures["recommend_from_history"](**plain)
    expected = np.sort(np.delete(world.items @ world.from_prior(2, np.arange(2), world.row_weight), [0, 1]))[::-1]
    np.testing.assert_allclose(served["scores"].numpy()[0], expected[:K], atol=1e-4)
    assert served["rule"].numpy().tolist() == [b"projection"] * 2
    assert served["scores"].numpy()[1].tolist() == without["scores"].numpy()[1].tolist()  # of an unknown country
    served = loaded.signatures["recommend"](visitorId=tf.constant([ids[few[0]]]), k=tf.constant(K))
    assert served["scores"].numpy()[0].tolist() == answers[ids[few[0]]][2]


def test_those_who_are_asked_are_answered_once_and_deleted_ones_never(world, tmp_path):
    (tmp_path / "only.txt").write_bytes(b"\n".join([NEW[1], NEW[3], b"nobody"]))
    (tmp_path / "deleted.txt").write_bytes(NEW[3])
    answers = world.lists(only=str(tmp_path / "only.txt"), privacy={"deleted_visitors": str(tmp_path / "deleted.txt")})
    assert {visitor: answer[0] for visitor, answer in answers.items()} == {
        NEW[1]: "attributes",
        b"nobody": "popularity",
    }


def test_the_popularity_in_a_segment_answers_in_batch_prediction_the_saved_model_and_the_server(world, tmp_path):
    """By plain Python; a visitor of an unknown country, and one with views, are answered as without segments."""
    manifest = DatasetManifest.read(world.dataset.manifest)
    field = FieldFeatures(name="country", kind="category", weight=1, offset=1, size=TOPICS - 1)  # topic 1 is "missing"
    account = manifest.user_features.model_copy(update={"fields": [field]})
    manifest.model_copy(update={"user_features": account}).write(world.dataset.manifest)
    model = tmp_path / "model"
    with quick_export.only("recommend_from_attributes"):
        settings = ColdStartSettings(min_ratings=3, min_site_ratings=10, new_visitors="segment", segment="country")
        training_job.train(TRAINING, world.dataset.root, str(model), False, settings)
        other = settings.model_copy(update={"segment": "city"})
        with pytest.raises(UserError, match=r"city is not a category of user_features; set one of country"):
            training_job.train(TRAINING, world.dataset.root, str(tmp_path / "other"), False, other)
    assert ModelManifest.read(Model(str(model)).manifest).visitors.segments == TOPICS - 2
    tree = {"dataset_dir": world.dataset.root, "model_dir": str(model), "prediction": {"top_k": K}}
    plan = plans.make(Settings.model_validate(tree))[0]
    items = Items(plan)
    blocks = [b for shard in range(plan.answer_shards) for b in recommend.recommendations(plan, items, shard, None)]
    answers = {
        name: (rule, *(table[row].tolist() for table in b.best))
        for b in blocks
        for row, (name, rule) in enumerate(zip(b.asked, b.rules, strict=True))
    }
    request = {
        "country": np.array([str(number % TOPICS) for number in range(6)] + [""], object),
        "k": np.array(K, np.int32),
    }
    request |= {"contentIds": np.full((7, 1), b"", object), "ratings": np.zeros((7, 1), np.float32)}
    path, ids = Model(str(model)).saved_model, Vocabulary.read(world.dataset.vocab_items).ids
    graph = tf.saved_model.load(path).signatures["recommend_from_attributes"]
    graph = {name: tensor.numpy() for name, tensor in graph(**{k: tf.constant(v) for k, v in request.items()}).items()}
    server = Engine(path).run("recommend_from_attributes", request)
    total, visitors = world.has.sum(0), (world.has.sum(1) > 0).sum()
    for number, visitor in enumerate(NEW):
        rule, listed, scores = answers[visitor]
        topic = number % TOPICS
        known = number < 6 and topic > 1
        expected = total.astype(float)
        if known:
            own = (np.arange(VISITORS) % TOPICS == topic) & world.has.any(1)
            expected = (world.has[own].sum(0) + 100 * total / visitors) / (own.sum() + 100)
        best = np.argsort(-expected.astype(np.float32), kind="stable")[:K]
        assert (rule, listed) == ("popularity in segment" if known else "popularity", best.tolist())
        np.testing.assert_allclose(scores, expected[best], rtol=1e-6)
        for served in (graph, server):
            assert served["rule"][number] == rule.encode() and served["count"][number] == K
            assert served["contentIds"][number, :K].tolist() == [ids[item] for item in listed]
            assert served["scores"][number, :K].tolist() == scores
    assert {rule for rule, _, _ in answers.values()} == {"factors", "projection", "popularity", "popularity in segment"}


def test_a_dataset_without_features_cannot_answer_by_attributes(tmp_path, without_graphs):
    dataset = write_dataset(tmp_path / "dataset", sp.csr_matrix(np.eye(4)))
    with pytest.raises(UserError, match="has no features of visitors"):
        training_job.train(TRAINING, dataset, str(tmp_path / "model"), False, COLD_START)
