"""A small world of topics, whose model has items that nobody has viewed."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from artifacts import factor_tables
from artifacts.manifests import ModelManifest
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs.settings import ColdStartSettings, Settings, TrainingSettings
from pipeline.prediction import plan as plans
from ranking.attributes.new_items import NewItems
from tests.support import quick_export
from tests.support.datasets import write_dataset, write_items
from tests.support.features import add_features
from trainer.job import training_job

VISITORS, ITEMS, K, SHARE = 1000, 60, 10, 0.25
NEW = [b"new %d" % number for number in range(12)]
# What the tests ask, and the server needs, of all that the SavedModel answers.
SIGNATURES = "recommend", "recommend_from_history", "audience", "similar_items", "similar_items_dot", "explanation"
SIGNATURES += "item_from_attributes", "factors_from_attributes", "serving_default", "history"
SIGNATURES += tuple(f"{name}_with_items" for name in ("recommend", "audience", "similar_items", "explanation"))


def feature_of_each(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return rows of the feature that a text of digits names, in a graph; "" has none."""
    given = tf.strings.length(numbers) > 0
    indices = tf.strings.to_number(tf.boolean_mask(numbers, given), tf.int64)
    splits = tf.concat([[0], tf.cumsum(tf.cast(given, tf.int64))], 0)
    return {"row_splits": splits, "indices": indices, "values": tf.ones_like(indices, tf.float32)}


class Topics(tf.Module):
    """Makes the features of World's items of their topic, as the SavedModel of a dataset does; "" has none."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "tags")])
    def item_features(self, tags: tf.Tensor) -> dict[str, tf.Tensor]:
        return feature_of_each(tags)


class World:
    """A trained model of topics, with new items of these topics."""

    def __init__(self, root):
        rng = np.random.default_rng(0)
        topics, self.root = np.arange(ITEMS) % 6, root
        likes = rng.random((VISITORS, ITEMS)) < np.where(np.arange(VISITORS)[:, None] % 6 == topics, 0.4, 0.04)
        self.matrix = sp.csr_matrix(likes.astype(np.float32))
        dataset = Dataset(write_dataset(root / "dataset", self.matrix))
        day = np.zeros(ITEMS)
        names = [name.decode() for name in Vocabulary.read(dataset.vocab_items).ids]
        write_items(dataset, names, likes.sum(0), first_time_ms=day, last_time_ms=day)
        new = np.eye(6)[np.arange(12) % 6] + 0.1 * (np.arange(12) >= 6)[:, None]
        add_features(dataset.root, np.eye(6)[topics], (NEW, new))
        module = Topics()
        tf.saved_model.save(module, dataset.item_features_fn, signatures={"item_features": module.item_features})
        enough, length = {"min_ratings": 3, "min_site_ratings": 10}, {"new_items_length": 1, "new_items_share": SHARE}
        cold_start = ColdStartSettings(**enough, **length, newest_items_share=0.1)
        settings = TrainingSettings(embedding_dimension=6, max_sweeps=6)
        with quick_export.only(*SIGNATURES):
            self.manifest: ModelManifest = training_job.train(
                settings, dataset.root, str(root / "model"), False, cold_start
            )
        self.model, self.dataset = Model(str(root / "model")), dataset
        new_items = NewItems.read(self.model, len(NEW), 6)
        self.items = np.concatenate([factor_tables.read_table(self.model.item_factors), new_items.factors])
        self.ids = [*Vocabulary.read(dataset.vocab_items).ids, *new_items.ids]
        self.visitors = Vocabulary.read(dataset.vocab_users).ids
        self.signatures = tf.saved_model.load(self.model.saved_model).signatures

    added: str | None = None  # the file of added items

    def plan(self, **options) -> plans.Plan:
        tree = {"dataset_dir": self.dataset.root, "model_dir": self.model.root, "added_items": self.added}
        return plans.make(Settings.model_validate(tree | {"prediction": {"top_k": K, **options}}))[0]

    def served(self, name: str, key: str, ids: list[bytes], k=K) -> dict[str, np.ndarray]:
        return self.signatures[name](**{key: tf.constant(ids)}, k=tf.constant(k))

    def rows_of(self, answers, ids=None) -> dict[bytes, tuple[str, list[bytes], list[float]]]:
        """Return rule, ids and scores of the answers of batch prediction, by who was asked; ids: of all items."""
        ids = ids or self.ids
        return {
            asked: (rule, [ids[i] for i in row if i >= 0], [s for i, s in zip(row, scores, strict=True) if i >= 0])
            for block in answers
            for asked, rule, row, scores in zip(
                block.asked, block.rules, block.best.indices.tolist(), block.best.scores.tolist(), strict=True
            )
        }

    def answering_users(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the users' factors that answer, as the SavedModel has them, and their weights."""
        loaded = tf.saved_model.load(self.model.saved_model)
        return loaded.users.numpy(), loaded.user_weights.numpy()

    def item_weights_and_views(self) -> tuple[np.ndarray, np.ndarray]:
        """Return C and the number of views of each item."""
        return factor_tables.read_table(self.model.item_weights)[:, 0], self.matrix.getnnz(axis=0)
