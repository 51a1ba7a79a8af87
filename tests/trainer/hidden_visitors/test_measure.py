"""Hidden visitors: what is measured of them, by definitions in plain Python, and the gate on it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest, FieldFeatures, ModelManifest
from artifacts.names import USER
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.errors import GateError, UserError
from configs.settings import ColdStartSettings, EvaluationSettings, TrainingSettings
from ranking.attributes import segments as of_segments
from tests.support import quick_export
from tests.support.datasets import write_dataset
from tests.support.features import add_features, rows_of
from trainer import evaluate as command
from trainer.hidden_visitors import baselines, measure
from trainer.inputs.hashing import hashes
from trainer.job import training_job

USERS, ITEMS, TOPICS = 300, 40, 5
SETTINGS = EvaluationSettings(k=(5, 10), new_visitors=0.3, resamples=100, baselines=())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Visitors whose country shows which topic they like; a model."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("hidden")
    likes = np.arange(USERS) % TOPICS
    has = rng.random((USERS, ITEMS)) < np.where(likes[:, None] == np.arange(ITEMS) % TOPICS, 0.5, 0.03)
    has[7] = False
    held = has & (rng.random((USERS, ITEMS)) < 0.1)
    dataset = write_dataset(root / "dataset", sp.csr_matrix(1.0 * (has & ~held)), held_out=sp.csr_matrix(1.0 * held))
    add_features(dataset, np.c_[np.zeros(USERS), np.eye(TOPICS)[likes]], side=USER)
    manifest = DatasetManifest.read(Dataset(dataset).manifest)
    country = FieldFeatures(name="country", kind="category", weight=1, offset=0, size=TOPICS + 1)
    manifest.user_features = manifest.user_features.model_copy(update={"fields": [country]})
    manifest.write(Dataset(dataset).manifest)
    with quick_export.without_graphs():
        settings = TrainingSettings(embedding_dimension=TOPICS, max_sweeps=6)
        training_job.train(settings, dataset, str(root / "model"), False, ColdStartSettings(user_attributes_penalty=1))
    return dataset, ModelManifest.read(Model(str(root / "model")).manifest), root, has & ~held


@pytest.fixture(scope="module")
def found(world):
    return measure.measure(world[0], world[1], SETTINGS)


def test_visitors_are_hidden_whole_and_answered_by_what_their_country_likes(found, world):
    has = world[3]
    hidden = (hashes(0, np.zeros(USERS, int), np.arange(USERS)) < 0.3) & has.any(1)
    assert (found.visitors, found.pairs) == (hidden.sum(), has[hidden].sum())
    total = has[~hidden].sum(0)
    best = np.argsort(-total, kind="stable")[:10]
    recall = [has[user, best].sum() / has[user].sum() for user in np.flatnonzero(hidden)]
    assert found.systems[measure.POPULAR]["recall@10"].value == pytest.approx(np.mean(recall), abs=1e-6)
    recall = []
    for user in np.flatnonzero(hidden):
        own = ~hidden & (np.arange(USERS) % TOPICS == user % TOPICS)
        size = (own & has.any(1)).sum()
        scores = (has[own].sum(0) + 100 * total / (~hidden & has.any(1)).sum()) / (size + 100)
        best = np.argsort(-scores.astype(np.float32), kind="stable")[:10]
        recall.append(has[user, best].sum() / has[user].sum())
    assert found.systems["popularity by country"]["recall@10"].value == pytest.approx(np.mean(recall), abs=1e-6)
    assert found.systems[measure.ATTRIBUTES]["recall@10"].low > found.systems[measure.POPULAR]["recall@10"].high + 0.2
    for system, cells in found.over_popularity.items():
        difference = found.systems[system]["recall@5"].value - found.systems[measure.POPULAR]["recall@5"].value
        assert cells["recall@5"].value == pytest.approx(difference)
    assert found.gain_after_one_view["recall@10"].low > 0.02
    gain = found.after_one_view[measure.BOTH]["ndcg@5"].value - found.after_one_view[measure.VIEWS]["ndcg@5"].value
    assert found.gain_after_one_view["ndcg@5"].value == pytest.approx(gain)


def test_segments_and_their_popularity_are_their_definitions():
    rows = rows_of(np.array([[0, 1, 0, 0, 2], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]))
    field = FieldFeatures(name="country", kind="category", weight=1, offset=1, size=3)
    assert baselines.segments(rows, field).tolist() == [0, 0, 2, 0]
    views = SparseRows.from_matrix(sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)))
    total = np.array([1, 2, 0])
    scores = of_segments.scores(views, np.array([True, False, True]), total, 2)
    np.testing.assert_allclose(scores, [(1 + 100 / 2) / 101, (1 + 100) / 101, 0], rtol=1e-6)


def test_the_command_measures_writes_and_gates(world, found, capsys):
    dataset, _, root, _ = world
    tree = {"dataset_dir": dataset, "model_dir": str(root / "model")}
    tree["evaluation"] = SETTINGS.model_dump(mode="json")
    (root / "c.yaml").write_text(json.dumps(tree))
    flags = ["--config", str(root / "c.yaml"), "--output_json", str(root / "e.json")]
    command.main([*flags, "--require", "recall@5[new_visitors]>=0.1"])
    written = json.loads((root / "e.json").read_text())
    assert written["new_visitors"] == json.loads(json.dumps(found.as_json()))
    assert written["gate"]["passed"] and "recall@5[new_visitors] is " in written["gate"]["rules"][0]["summary"]
    assert "visitors hidden from a training" in capsys.readouterr().out
    with pytest.raises(GateError, match=r"recall@5\[new_visitors\]"):
        command.main([*flags, "--require", "recall@5[new_visitors]>=0.999"])
    with pytest.raises(UserError, match=r"set evaluation\.new_visitors"):
        command.main([*flags, "--set", "evaluation.new_visitors=0", "--require", "recall@5[new_visitors]>=0.1"])


def test_datasets_without_features_are_refused(tmp_path, world):
    dataset = write_dataset(tmp_path / "plain", sp.csr_matrix(np.eye(6)))
    with pytest.raises(UserError, match="has no features of visitors"):
        measure.measure(dataset, world[1], SETTINGS)
    add_features(dataset, np.eye(6), side=USER)
    assert feature_rows.read_known(dataset, USER) is not None
    with pytest.raises(UserError, match="choose another share"):
        measure.measure(dataset, world[1], SETTINGS.model_copy(update={"new_visitors": 1e-9}))
