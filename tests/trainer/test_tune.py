"""wals tune: a search over settings, on a validation set inside train."""

from __future__ import annotations

import contextlib
import json
import multiprocessing.util
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import scipy.sparse as sp
import tensorflow as tf
import yaml
from google.cloud import aiplatform_v1

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs import cli
from configs.errors import UserError
from configs.settings import RatingSettings, Settings, TrainingSettings, load_settings
from configs.settings.search import ValidationSettings, load_search, quick_search, rating_with
from pipeline.dataset.ratings import rate
from tests.support import forkserver
from tests.support.datasets import write_dataset
from trainer import task, tune
from trainer.inputs import dataset_rows, validation_split
from trainer.inputs.hashing import hashes
from trainer.job import training_job
from trainer.tuning import agreement, rating_kinds, trial, worker
from trainer.tuning import vertex as hypertune

USERS, ITEMS = 60, 30
ROOT = Path(__file__).parents[2]
SPACE = """\
k: 5
space:
  training.embedding_dimension: {choices: [2, 4]}
  ridge: {low: 0.1, high: 10, log: true}
  training.frequency_exponent: {low: 0, high: 1}
  rating.kind: {choices: [median, binary]}
pruning: {startup_trials: 2, warmup_passes: 0}
workers: 1
trials: 1000
"""

# A search whose workers need not import TensorFlow either.
SEARCH = """
import multiprocessing.util, runpy
from tests.support import forkserver
forkserver.fork_here()
multiprocessing.util.spawnv_passfds = forkserver.spawn
runpy.run_module("trainer.tune", run_name="__main__", alter_sys=True)
"""

pytestmark = pytest.mark.usefixtures("without_graphs", "forked_workers")


@pytest.fixture
def forked_workers(monkeypatch):
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", forkserver.spawn)


@pytest.fixture(scope="module")
def matrix():
    """Two tastes: even users like the first half of the items, odd users the second."""
    rng = np.random.default_rng(3)
    own = (np.arange(USERS) % 2)[:, None] == (np.arange(ITEMS) >= ITEMS // 2)[None, :]
    return sp.csr_matrix(np.where(own & (rng.random((USERS, ITEMS)) < 0.6), rng.random((USERS, ITEMS)) + 0.1, 0))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, matrix):
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", matrix, shards=3)


@pytest.fixture
def files(tmp_path, dataset):
    """The flags of a search in tmp_path."""
    (tmp_path / "c.yaml").write_text(
        "training: {embedding_dimension: 3, max_sweeps: 8}\n"
        f"dataset_dir: {dataset}\nmodel_dir: {tmp_path / 'model'}\n"
    )
    (tmp_path / "s.yaml").write_text(SPACE)
    flags = {"config": "c.yaml", "search": "s.yaml", "study_dir": "study"}
    return [f"--{name}={tmp_path / value}" for name, value in flags.items()]


def study_of(tmp_path) -> optuna.Study:
    return optuna.load_study(study_name=worker.STUDY, storage=f"sqlite:///{tmp_path / 'study' / 'study.db'}")


def test_a_search_goes_on_and_its_best_settings_train(tmp_path, files, capsys):
    assert cli.run(tune.main, [*files, "--trials=7"]) == 0
    first = study_of(tmp_path).trials
    assert len(first) == 7 and first[0].user_attrs["baseline"]
    assert cli.run(tune.main, [*files, "--trials=10"]) == 0
    shown = capsys.readouterr().out
    assert "continuing after 7 trials" in shown and "the config's own settings" in shown and "config" in shown
    trials = study_of(tmp_path).trials
    assert len(trials) == 10 and [t.values for t in trials[:7]] == [t.values for t in first]

    best = max((t for t in trials if t.value is not None and t.state.name == "COMPLETE"), key=lambda t: t.value)
    config = tmp_path / "study" / "best.yaml"
    training = load_settings(str(config)).training
    exponent = best.params.get("training.frequency_exponent", 0.0)
    assert training.frequency_exponent == pytest.approx(exponent, rel=1e-3)
    assert training.max_sweeps == (8 if best.number == 0 else 2 * best.user_attrs["passes"])
    assert best.value >= trials[0].value == trials[0].intermediate_values[4]
    assert f"recall@5 {best.value:.4f}" in config.read_text()
    assert cli.run(task.main, ["--config", str(config)]) == 0
    made = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert made["settings"] == training.model_dump(mode="json")


@pytest.mark.parametrize(
    ("model", "study"),
    [("data/a/model/", "data/a/model-tuning"), (None, "data/d-tuning"), ("gs://b/a/model", "data/tuning/b/a/model")],
)
def test_each_config_has_a_search_of_its_own(model, study):
    assert tune.default_study(Settings(model_dir=model), "data/d") == study


def test_a_dry_run_prints_the_search(tmp_path, files, capsys):
    tune.main([*files, "--trials=7", "--workers=2", "--dry-run"])
    shown = capsys.readouterr().out
    assert "would search in" in shown and re.search(r"trials +│ +7 ", shown) and re.search(r"workers +│ +2 ", shown)
    assert all(key in shown for key in load_search(str(tmp_path / "s.yaml"), {}).space)
    assert not (tmp_path / "study").exists()


def test_a_value_of_a_trial_is_what_plain_numpy_finds(tmp_path, files, dataset, matrix):
    """The baseline: trained by the job on the kept entries alone, ranked by plain sorting."""
    assert cli.run(tune.main, [*files, "--trials=1"]) == 0
    whole = sp.csr_matrix(matrix, dtype=np.float32)
    whole.sort_indices()
    split = validation_split.split(SparseRows.from_matrix(whole), ValidationSettings())
    kept, held = (sp.csr_matrix((r.values, r.indices, r.indptr), whole.shape) for r in (split.train, split.held_out))
    training_job.train(
        TrainingSettings(embedding_dimension=3, max_sweeps=8),
        write_dataset(tmp_path / "kept", kept),
        str(tmp_path / "m"),
        False,
    )
    users, items = (np.load(tmp_path / "m" / "factors" / f"{n}_factors-00000-of-00002.npy") for n in ("user", "item"))
    more = [np.load(tmp_path / "m" / "factors" / f"{n}_factors-00001-of-00002.npy") for n in ("user", "item")]
    tables = []
    for size, parts in ((USERS, (users, more[0])), (ITEMS, (items, more[1]))):
        table = np.empty((size, 3))
        table[0::2], table[1::2] = parts
        tables.append(table)
    recalls = []
    for user in np.flatnonzero(np.diff(held.indptr)):
        scores = tables[0][user] @ tables[1].T
        scores[kept[[user]].indices] = -np.inf
        top = np.argsort(-scores)[:5]
        recalls.append(len(set(top) & set(held[[user]].indices)) / held[[user]].nnz)
    assert study_of(tmp_path).trials[0].value == pytest.approx(np.mean(recalls), abs=1e-9)


def test_trials_below_the_median_are_given_up(tmp_path, files, capsys):
    (tmp_path / "s.yaml").write_text(SPACE.replace("high: 10,", "high: 1000000,"))
    assert cli.run(tune.main, [*files, "--trials=25"]) == 0
    trials = study_of(tmp_path).trials
    pruned = [t for t in trials if t.state.name == "PRUNED"]
    assert pruned and f"{len(pruned)} given up early" in capsys.readouterr().out
    for t in pruned:
        last = max(t.intermediate_values)
        whole = [o.intermediate_values for o in trials[: t.number] if o.state.name == "COMPLETE"]
        others = [values[last] for values in whole if last in values]
        assert last < 4 and max(t.intermediate_values.values()) <= np.median(others)


def test_a_killed_search_is_gone_on_with(tmp_path, files):
    """A real SIGKILL while two workers are at it; trials that were begun are begun again."""
    command = [sys.executable, "-c", SEARCH, *files, "--trials=100000", "--workers=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    first = forkserver.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.time() + 90
    while time.time() < deadline and not (_count(tmp_path) >= 4):
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)  # a session of its own: the process and its workers, nobody else
    first.wait()
    study = study_of(tmp_path)
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))  # one more, surely under way
    before = [t.number for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert cli.run(tune.main, [*files, f"--trials={len(before) + 3}"]) == 0
    after = study_of(tmp_path).trials
    assert not [t for t in after if t.state.name == "RUNNING"]
    assert len([t for t in after if t.state.name in ("COMPLETE", "PRUNED")]) == len(before) + 3
    assert all(t.user_attrs.get("failure") is None for t in after)


def _count(tmp_path) -> int:
    """Count the trials of a running search; Optuna's own reader would create tables that do not exist yet."""
    path = tmp_path / "study" / "study.db"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute("SELECT COUNT(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet, or being written
        return 0


def test_a_trial_is_measured_on_what_the_dataset_holds_out(tmp_path, matrix):
    """By plain sorting, without all items of train; and not if the search does not want it."""
    rng = np.random.default_rng(5)
    held = sp.csr_matrix(matrix.multiply(rng.random(matrix.shape) < 0.2))
    train = sp.csr_matrix(matrix - held)
    train.eliminate_zeros()
    dataset = write_dataset(tmp_path / "dataset", train, held_out=held)
    training, search = TrainingSettings(embedding_dimension=3, max_sweeps=4), quick_search()
    material = trial.Material.read(dataset, search)
    outcome = trial.run(material, training, material.info.rating, search, lambda number, value: None, to_the_end=True)
    sides = material.sides(material.info.rating)
    state = trial.assemble(training, Dataset(dataset), [[side] for side in sides], (USERS, ITEMS), trial.Cluster())
    trial.fit(state, 4, 0.0)
    recalls = []
    for user in np.flatnonzero(held.getnnz(1)):
        scores = state.cols.table.astype(float) @ state.rows.table[user]
        scores[train[[user]].indices] = -np.inf
        top = np.argsort(-scores)[:20]
        recalls.append(np.isin(held[[user]].indices, top[np.isfinite(scores[top])]).mean())
    assert outcome.last is not None
    assert outcome.last[0] == outcome.value
    assert outcome.last[1] == pytest.approx(np.mean(recalls), abs=1e-9)
    without = search.model_copy(update={"report_test": False})
    assert trial.Material.read(dataset, without).test is None


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], "rank correlation of 1.00 over 8 trials; test chose nothing"),
        ([8, 7, 6, 5, 4, 3, 2, 1], "of -1.00 over 8 trials; test chose nothing, and must not. They do not agree"),
        ([1, 2, 3, 4, 5, 6, 7], None),  # too few
        ([3] * 8, None),
    ],
)
def test_agreement_is_the_rank_correlation_of_validation_and_test(test, said):
    line = agreement.describe([(float(10 + number), value) for number, value in enumerate(test)], "recall@20")
    assert (line is None) if said is None else said in line


def test_a_quick_search_is_two_minutes_in_a_small_space(tmp_path, files, capsys):
    search = quick_search({"workers": 1, "trials": None})
    assert (search.minutes, search.workers, search.trials) == (2, 1, None) and len(search.space) == 3
    assert cli.run(tune.main, [*files, "--quick"]) == 2
    assert "leave out --search" in capsys.readouterr().err


def test_time_ends_a_search_and_what_was_begun_is_put_back(tmp_path, files):
    (tmp_path / "s.yaml").write_text(SPACE + "minutes: 0.03\n")
    assert cli.run(tune.main, files) in (0, 2)  # on a slow machine no trial may have come to its end
    assert not [t for t in study_of(tmp_path).trials if t.state.name == "RUNNING"]


def test_mistakes_are_one_line(tmp_path, files, dataset, matrix, capsys):
    assert cli.run(tune.main, [*files, "--trials=1"]) == 0
    one = write_dataset(tmp_path / "one", sp.eye_array(12, format="csr"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    stars = tmp_path / "stars.yaml"
    stars.write_text("trials: 1\nspace: {rating.kind: {choices: [log]}}")
    vertex = ["--vertex_trial", "--embedding_dimension=4", "--ridge=1", "--frequency_exponent=1"]
    for flags, said in (
        (["--trials=2", "--set=training.seed=1"], "contains a search with another training settings; pass --replace"),
        (["--trials=0"], "trials: Input should be greater than 0"),
        (["--trials=2", f"--study_dir={tmp_path / 'full'}"], "contains thesis.txt and is not a study"),
        (["--trials=2", f"--study_dir={tmp_path / 'c.yaml'}"], "is a file"),
        (["--trials=2", "--study_dir=gs://bucket/study"], "SQLite needs a local directory"),
        (["--trials=2", f"--dataset_dir={tmp_path / 'none'}"], "is not a finished dataset"),
        (["--trials=2", f"--dataset_dir={one}", f"--study_dir={tmp_path / 'x'}"], "no visitor has two items"),
        (["--trials=2", f"--search={stars}", f"--study_dir={tmp_path / 'y'}"], "ratings cannot be converted to log"),
        ([*vertex], "--rating_kind is missing"),
        ([*vertex, "--rating_kind=binary", "--speed=1"], "--speed=1 is not a setting of the space"),
        ([*vertex[:-1], "--frequency_exponent=x", "--rating_kind=binary"], "--frequency_exponent x: must be a number"),
    ):
        capsys.readouterr()
        assert cli.run(tune.main, [*files, "--trials=2", *flags]) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and said in error, error
    (tmp_path / "large.yaml").write_text("k: 31\ntrials: 1\nspace: {ridge: {choices: [1]}}")
    with pytest.raises(UserError, match=r"k is 31, and .* has 30 items"):
        trial.Material.read(dataset, load_search(str(tmp_path / "large.yaml")))


def test_validation_is_part_of_train_and_the_same_everywhere(matrix):
    whole = sp.csr_matrix(matrix, dtype=np.float32)
    whole.sort_indices()
    rows = SparseRows.from_matrix(whole)
    split = validation_split.split(rows, ValidationSettings(share=0.3, users=USERS))
    train, held = (sp.csr_matrix((r.values, r.indices, r.indptr), whole.shape) for r in (split.train, split.held_out))
    assert (train + held != whole).nnz == 0 and (train.multiply(held)).nnz == 0
    assert np.diff(train.indptr)[np.diff(whole.indptr) > 0].min() >= 1
    assert 0.2 < held.nnz / whole.nnz < 0.4
    few = validation_split.split(rows, ValidationSettings(share=0.3, users=7))
    assert np.count_nonzero(few.held_out.lengths) == 7
    np.testing.assert_array_equal(few.train.indices, split.train.indices)
    other = validation_split.split(rows, ValidationSettings(share=0.3, seed=1))
    assert not np.array_equal(other.train.indptr, split.train.indptr)


def test_the_hash_is_splitmix64():
    """Against the plain rule in Python's whole numbers."""
    mask = (1 << 64) - 1

    def plain(seed, *parts):
        state = seed
        for part in parts:
            state = (state + part + 1) * 0x9E3779B97F4A7C15 & mask
            state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
            state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
            state ^= state >> 31
        return (state >> 11) / 2**53

    users, items = np.array([0, 5, 10**9]), np.array([0, 7, 2**31 - 1])
    found = hashes(4, users, items)
    assert found.tolist() == [plain(4, int(u), int(i)) for u, i in zip(users, items, strict=True)]
    many = hashes(0, np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100))
    assert abs(many.mean() - 0.5) < 0.01 and abs((many < 0.2).mean() - 0.2) < 0.01


@pytest.mark.parametrize("stored", ["linear", "log", "median", "binary"])
def test_kinds_of_ratings_are_made_as_the_pipeline_makes_them(stored):
    amounts = np.random.default_rng(0).exponential(30_000, 50).astype("f")
    median = float(np.median(amounts))
    made = {
        kind: rate(tf.constant(amounts), tf.constant(median), RatingSettings(kind=kind)).numpy()
        for kind in ("median", "log", "linear", "binary")
    }
    own = RatingSettings(kind=stored)
    for kind in rating_kinds.possible(own):
        found = rating_kinds.convert(made[stored], own, rating_with(own, kind), median)
        np.testing.assert_allclose(found, made[kind], rtol=1e-4)
    for kind in set(made) - set(rating_kinds.possible(own)):
        with pytest.raises(UserError, match=f"{stored} ratings cannot be converted to rating.kind {kind}"):
            rating_kinds.convert(made[stored], own, rating_with(own, kind), median)


def test_ridge_is_the_lambda_of_a_mean_row(dataset, tmp_path):
    (tmp_path / "s.yaml").write_text(SPACE)
    material = trial.Material.read(dataset, load_search(str(tmp_path / "s.yaml")))
    params = {"ridge": 3.0, "training.frequency_exponent": 0.7, "training.embedding_dimension": 4}
    training, rating = trial.settings_of(params, TrainingSettings(unobserved_weight=0.2), material)
    mean = material.rows.train.entries / USERS
    assert training.regularization_coeff * (mean + 0.2 * ITEMS) ** 0.7 == pytest.approx(3.0, rel=1e-5)
    assert training.embedding_dimension == 4 and rating == material.info.rating


def test_a_trial_at_vertex_reports_each_pass(tmp_path, files, monkeypatch, capsys):
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(tmp_path / "hypertune" / "output.metrics"))
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "7")
    values = ["--embedding_dimension=4.0", "--ridge=1", "--frequency_exponent=0.5", "--rating_kind=binary"]
    assert cli.run(tune.main, [*files, "--trials=1", "--vertex_trial", *values]) == 0
    lines = [json.loads(line) for line in (tmp_path / "hypertune" / "output.metrics").read_text().splitlines()]
    assert [line["global_step"] for line in lines] == [str(n + 1) for n in range(len(lines))]
    shown = capsys.readouterr().out
    for line in lines:
        assert line["trial"] == "7" and f"{float(line['recall_at_5']):.4f}" in shown and line["timestamp"] > 1.6e9


def test_the_job_at_vertex_is_one_that_its_api_knows(tmp_path, files, capsys):
    assert cli.run(tune.main, [*files, "--trials=1", "--vertex_spec=gcr.io/p/image"]) == 0
    spec = yaml.safe_load(capsys.readouterr().out)
    message = aiplatform_v1.HyperparameterTuningJob.from_json(json.dumps(spec))  # an unknown field is an error
    parameters = {parameter.parameter_id: parameter for parameter in message.study_spec.parameters}
    assert set(parameters) == {"embedding_dimension", "ridge", "frequency_exponent", "rating_kind"}
    assert list(parameters["embedding_dimension"].discrete_value_spec.values) == [2.0, 4.0]
    assert parameters["ridge"].double_value_spec.max_value == 10
    assert parameters["ridge"].scale_type.name == "UNIT_LOG_SCALE"
    assert list(parameters["rating_kind"].categorical_value_spec.values) == ["median", "binary"]
    assert message.study_spec.metrics[0].metric_id == hypertune.metric_id(load_search(files[1].split("=")[1]))
    container = message.trial_job_spec.worker_pool_specs[0].container_spec
    assert container.args[0] == "--vertex_trial" and container.image_uri == "gcr.io/p/image"


def test_a_dataset_of_another_rating_is_read_from_its_manifest(tmp_path, matrix):
    root = write_dataset(tmp_path / "d", matrix)
    path = Path(root) / "manifest.json"
    content = json.loads(path.read_text()) | {"median": 5.0}
    content["settings"]["rating"]["kind"] = "linear"
    path.write_text(json.dumps(content))
    info = dataset_rows.read_info(root)
    assert info.rating.kind == "linear" and info.manifest.median == 5.0
