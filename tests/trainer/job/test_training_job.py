"""wals train: dataset directory -> model directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts import factor_tables
from artifacts.checksums import digest_of
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset, Model
from configs import cli
from tests.support import forkserver, quick_export
from tests.support.datasets import write_dataset, write_items
from tests.support.oracles import DenseWals
from trainer import task
from trainer.inputs import dataset_rows
from trainer.job import model_directory, tensorboard
from trainer.job.checkpoints import Checkpoints

N, M, K = 40, 25, 6

pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(2)
    return sp.csr_matrix(np.where(rng.random((N, M)) < 0.25, rng.random((N, M)) + 0.2, 0).astype("f"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, matrix):
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", matrix, shards=3)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    values = {"embedding_dimension": K, "max_sweeps": 6, "regularization_coeff": 0.2, "col_weights_exponent": 0.0}
    path.write_text(json.dumps({"training": values}))
    return str(path)


def run(config, dataset, model, *flags):
    arguments = ["--config", config, "--dataset_dir", str(dataset), "--model_dir", str(model), *flags]
    return cli.run(task.main, arguments)


def manifest(model):
    return json.loads((Path(model) / "manifest.json").read_text())


def losses(model):
    return [sweep["loss"] for sweep in manifest(model)["history"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, config, dataset):
    root = tmp_path_factory.mktemp("trained") / "model"
    with quick_export.only("project"):
        assert run(config, dataset, root) == 0
    return root


def test_factors_equal_the_oracle_and_shards_hold_their_ids(trained, matrix):
    model, dense = Model(str(trained)), matrix.toarray()
    rows, cols = factor_tables.read_table(model.user_factors), factor_tables.read_table(model.item_factors)
    assert rows.shape == (N, K) and cols.shape == (M, K) and rows.dtype == np.float32
    part = np.load(trained / "factors" / "user_factors-00001-of-00003.npy")
    np.testing.assert_array_equal(part, rows[1::3])
    oracle = DenseWals(dense != 0, dense, np.ones(N), np.ones(M), 0.1, 0.2)
    # The items' last sweep is the solution for the users' factors, in the coordinates in which both are written.
    np.testing.assert_allclose(cols, oracle.solve_cols(rows), rtol=1e-3, atol=1e-4 * np.abs(cols).max())
    loss, rwse = oracle.loss(rows, cols)
    last = manifest(trained)["history"][-1]
    assert last["loss"] == pytest.approx(loss, rel=1e-5) and last["rwse"] == pytest.approx(rwse, rel=1e-5)
    assert last["sweep"] == 6


def test_the_manifest_says_what_made_the_model(trained, dataset):
    content = manifest(trained)
    assert content["kind"] == "model" and content["dataset"]["root"] == dataset
    assert content["settings"]["embedding_dimension"] == K and content["solver"] == f"exact (auto, k = {K})"
    assert content["user_factor_shards"] == 3 and content["users"] == N
    assert content["dataset"]["median"] == DatasetManifest.read(Dataset(dataset).manifest).median
    assert not (trained / "checkpoints").exists()


def test_saved_model_projects_rows_of_the_dataset(trained, matrix):
    model = tf.saved_model.load(Model(str(trained)).saved_model)
    cols = factor_tables.read_table(Model(str(trained)).item_factors)
    indices = np.array([matrix[7].indices.tolist() + [-1] * 3, [-1] * (matrix[7].nnz + 3)], np.int64)
    values = np.where(indices >= 0, 1.0, 9.0).astype("f")
    values[0, : matrix[7].nnz] = matrix[7].data
    found = model.signatures["project"](indices=tf.constant(indices), values=tf.constant(values))["factors"]
    dense = matrix[7].toarray()
    expected = DenseWals(dense != 0, dense, np.ones(1), np.ones(M), 0.1, 0.2).solve_rows(cols)
    np.testing.assert_allclose(found[:1], expected, rtol=1e-3, atol=1e-5)
    assert not found.numpy()[1].any()


def test_two_runs_with_one_seed_are_the_same_bit_for_bit(tmp_path, config, dataset, trained):
    assert run(config, dataset, tmp_path / "again") == 0
    assert run(config, dataset, tmp_path / "other", "--set", "training.seed=7") == 0
    for name in ("user_factors-00000-of-00003.npy", "item_factors-00002-of-00003.npy"):
        first, again, other = (root / "factors" / name for root in (trained, tmp_path / "again", tmp_path / "other"))
        assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_summaries_for_tensorboard(trained):
    tags: dict[str, list[float]] = {}
    for path in (trained / "logs").glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            for value in tf.compat.v1.Event.FromString(record).summary.value:
                tags.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert set(tags) == {"WALS_loss", "WALS_RWSE", "seconds", "norm/row_factors", "norm/col_factors"}
    np.testing.assert_allclose(tags["WALS_loss"], losses(trained), rtol=1e-5)
    model = Model(str(trained))
    norms = [tags["norm/row_factors"][-1], tags["norm/col_factors"][-1]]
    tables = [factor_tables.read_table(model.user_factors), factor_tables.read_table(model.item_factors)]
    np.testing.assert_allclose(norms, [np.linalg.norm(table) for table in tables], rtol=1e-5)


def test_files_for_the_embedding_projector(trained, tmp_path, matrix, dataset):
    """The most popular first; with titles where there is a catalogue, tabs and line ends out of the way."""
    factors, visitors = factor_tables.read_table(Model(str(trained)).item_factors), matrix.getnnz(0)
    order = np.argsort(-visitors, kind="stable")
    found = np.loadtxt(trained / "logs" / "item_factors.tsv", delimiter="\t")
    np.testing.assert_allclose(found, factors[order], rtol=1e-5, atol=1e-9)
    lines = (trained / "logs" / "metadata.tsv").read_text().splitlines()
    assert lines == ["contentId\tvisitors", *(f"c{item}\t{visitors[item]}" for item in order)]
    config = (trained / "logs" / "projector_config.pbtxt").read_text()
    assert '"item_factors.tsv"' in config and '"metadata.tsv"' in config
    path = tmp_path / "c.csv"
    path.write_text(f'contentId,title,category\nc{order[0]},"a\ttitle\nof two lines",Film\n')
    tensorboard.write_projector(str(tmp_path), Dataset(dataset), factors, visitors, str(path))
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines[0] == "contentId\tvisitors\ttitle\tcategory"
    assert lines[1] == f"c{order[0]}\t{visitors[order[0]]}\ta title of two lines\tFilm"
    assert lines[2].split("\t")[2] == f"c{order[1]}" and len(lines) == M + 1
    titled = Dataset(str(shutil.copytree(dataset, tmp_path / "titled")))
    write_items(titled, [f"c{item}" for item in range(M)], visitors, title=[f"Title {item}" for item in range(M)])
    tensorboard.write_projector(str(tmp_path), titled, factors, visitors, None)
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines[1:] == [f"c{item}\t{visitors[item]}\tTitle {item}\t" for item in order]


def killed_after(monkeypatch, sweeps):
    """Make the next run die as by a kill right after the checkpoint of `sweeps`."""
    save = Checkpoints.save

    def save_and_die(self, state):
        save(self, state)
        if len(state.history) == sweeps:
            raise SystemExit(9)

    monkeypatch.setattr(Checkpoints, "save", save_and_die)


def test_more_steps_of_conjugate_gradient_come_nearer_to_the_solution(tmp_path, config, dataset, matrix):
    dense, errors = matrix.toarray(), []
    oracle = DenseWals(dense != 0, dense, np.ones(N), np.ones(M), 0.1, 0.2)
    for steps in (1, 40):
        root = tmp_path / str(steps)
        assert run(config, dataset, root, "--set", "training.solver=cg", "--set", f"training.cg_steps={steps}") == 0
        assert manifest(root)["solver"] == f"conjugate gradient, {steps} steps"
        rows, cols = (
            factor_tables.read_table(path) for path in (Model(str(root)).user_factors, Model(str(root)).item_factors)
        )
        errors.append(np.abs(cols - oracle.solve_cols(rows)).max())
    assert errors[0] > 1e-2 > 1e-4 > errors[1]


def test_busy_users_weigh_less(tmp_path, config, dataset, matrix):
    root, items = tmp_path / "model", (matrix != 0).sum(1).A1
    assert (
        run(config, dataset, root, "--set", "training.row_weights_exponent=0.3", "--set", "training.max_sweeps=5") == 0
    )
    own = np.maximum(items, 1) ** -0.3
    own /= np.prod(own ** (items / items.sum()))  # the geometric mean over the entries
    dense = matrix.toarray()
    oracle = DenseWals(dense != 0, dense, own, np.ones(M), 0.1, 0.2)
    rows, cols = (
        factor_tables.read_table(path) for path in (Model(str(root)).user_factors, Model(str(root)).item_factors)
    )
    np.testing.assert_allclose(rows, oracle.solve_rows(cols), rtol=1e-3, atol=1e-4 * np.abs(rows).max())


def test_what_does_not_fit_in_memory_is_read_each_sweep(tmp_path, monkeypatch, config, dataset, trained):
    read, files = dataset_rows.read_rows, []
    monkeypatch.setattr(dataset_rows, "read_rows", lambda path, *sizes: files.append(path) or read(path, *sizes))
    assert run(config, dataset, tmp_path / "m", "--set", "training.memory_limit_gb=1e-9") == 0
    # Both sides' files once to count, then one side's each of the six sweeps, then the users' for the SavedModel.
    assert len(files) == 3 * (2 + 6 + 1)
    for name in ("user_factors-00000-of-00003.npy", "item_factors-00002-of-00003.npy"):
        assert (trained / "factors" / name).read_bytes() == (tmp_path / "m" / "factors" / name).read_bytes()


def test_a_metric_on_held_out_entries_stops_the_fit(tmp_path, config, matrix, capsys):
    rng = np.random.default_rng(1)
    hidden = sp.csr_matrix(np.where((matrix.toarray() == 0) & (rng.random((N, M)) < 0.2), 1, 0).astype("f"))
    dataset = write_dataset(tmp_path / "dataset", matrix, held_out=hidden)
    flags = ("--set", "training.stop_metric=ndcg", "--set", "training.max_sweeps=60", "--set", "training.patience=2")
    assert run(config, dataset, tmp_path / "m", *flags) == 0
    content, found = manifest(tmp_path / "m"), manifest(tmp_path / "m")["held_out"]
    values = found["passes"]
    assert found["metric"] == "ndcg@20" and len(values) == len(content["history"]) / 2 < 30
    assert np.argmax(values) == len(values) - 3 and f"best after pass {len(values) - 2}" in content["stopped"]
    model = Model(str(tmp_path / "m"))
    users, items = factor_tables.read_table(model.user_factors), factor_tables.read_table(model.item_factors)
    expected = []
    for user in np.flatnonzero(hidden.getnnz(1)):
        scores = users[user] @ items.T
        scores[matrix[user].indices] = -np.inf
        gains = np.isin(np.argsort(-scores)[:20], hidden[user].indices) / np.log2(np.arange(20) + 2)
        expected.append(gains.sum() / (1 / np.log2(np.arange(min(20, hidden[user].nnz)) + 2)).sum())
    assert values[-1] == pytest.approx(np.mean(expected), rel=1e-5)


def test_devices_and_dtype_are_settings(tmp_path, config, dataset, trained, capsys):
    assert run(config, dataset, tmp_path / "m", "--set", "training.devices=[CPU:0]") == 0
    assert "on CPU:0" in capsys.readouterr().out
    assert run(config, dataset, tmp_path / "b", "--set", "training.table_dtype=bfloat16") == 0
    wanted = factor_tables.read_table(Model(str(trained)).item_factors)
    for name, low, high in (("m", 0, 1e-4), ("b", 1e-4, 0.05)):
        error = np.abs(factor_tables.read_table(Model(str(tmp_path / name)).item_factors) - wanted).max()
        assert low <= error / np.abs(wanted).max() < high, name


def test_popular_items_weigh_less(tmp_path, config, dataset, matrix):
    root, users = tmp_path / "model", (matrix != 0).sum(0).A1
    assert run(config, dataset, root, "--set", "training.col_weights_exponent=0.4") == 0
    own = np.maximum(users, 1) ** -0.4
    own /= np.prod(own ** (users / users.sum()))  # the geometric mean over the entries
    dense = matrix.toarray()
    oracle = DenseWals(dense != 0, dense, np.ones(N), own, 0.1, 0.2)
    rows, cols = (
        factor_tables.read_table(path) for path in (Model(str(root)).user_factors, Model(str(root)).item_factors)
    )
    np.testing.assert_allclose(cols, oracle.solve_cols(rows), rtol=1e-3, atol=1e-4 * np.abs(cols).max())


@pytest.mark.parametrize("solver", ["auto", "cg"])
def test_a_killed_run_goes_on_to_the_same_model(tmp_path, monkeypatch, config, dataset, solver, capsys):
    flags = ("--set", f"training.solver={solver}")
    assert run(config, dataset, tmp_path / "whole", *flags) == 0
    with monkeypatch.context() as patch:
        killed_after(patch, 4)
        with pytest.raises(SystemExit):
            run(config, dataset, tmp_path / "m", *flags)
    assert not (tmp_path / "m" / "manifest.json").exists()
    capsys.readouterr()
    assert run(config, dataset, tmp_path / "m", *flags) == 0
    shown = capsys.readouterr().out
    assert "continuing after sweep 4" in shown and "sweep 4 (" not in shown
    np.testing.assert_allclose(losses(tmp_path / "m"), losses(tmp_path / "whole"), rtol=1e-6)
    np.testing.assert_array_equal(
        *(factor_tables.read_table(Model(str(tmp_path / name)).user_factors) for name in ("m", "whole"))
    )


def test_a_checkpoint_of_something_else_is_refused_and_kept(tmp_path, monkeypatch, config, dataset, matrix, capsys):
    with monkeypatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(SystemExit):
            run(config, dataset, tmp_path / "m")
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "m").rglob("*.npy"))
    other = write_dataset(tmp_path / "other", matrix * 2)
    for arguments, named in (
        ((dataset, "--set", "training.embedding_dimension=9"), "embedding_dimension (6, now 9)"),
        ((dataset, "--set", "training.seed=1"), "seed (42, now 1)"),
        ((other,), "dataset"),
    ):
        capsys.readouterr()
        assert run(config, arguments[0], tmp_path / "m", *arguments[1:]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and named in error
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / "m").rglob("*.npy")) == before
    assert run(config, other, tmp_path / "m", "--replace") == 0
    assert manifest(tmp_path / "m")["dataset"]["root"] == other
    assert manifest(tmp_path / "m")["resumed_after_sweep"] == 0


def test_mistakes_are_one_line(tmp_path, config, dataset, matrix, trained, capsys):
    cut = write_dataset(tmp_path / "cut", matrix)
    (tmp_path / "cut" / "items_for_user-00001-of-00002").write_bytes(b"")
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    for arguments, named in (
        ((dataset, trained), "contains a model"),
        ((dataset, tmp_path / "file"), "is a file"),
        ((dataset, tmp_path / "full", "--replace"), "thesis.txt"),
        ((tmp_path / "nothing", tmp_path / "m"), "is not a finished dataset"),
        ((dataset, tmp_path / "m", "--set", "training.row_weights_file=/none.csv"), "/none.csv"),
        ((dataset, tmp_path / "m", "--set", "training.frobnicate=1"), "frobnicate"),
        ((dataset, tmp_path / "m", "--set", "training.devices=[GPU:7]"), "no GPU:7 here"),
        ((dataset, tmp_path / "m", "--set", "training.stop_metric=ndcg"), "made without a split"),
        ((cut, tmp_path / "m"), "has 0 bytes where the manifest has"),
    ):
        capsys.readouterr()
        assert run(config, *arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and named in error
    assert (tmp_path / "full" / "thesis.txt").exists() and (trained / "manifest.json").exists()


def test_replace_takes_the_place_of_a_model_and_of_what_was_written_about_it(tmp_path, config, dataset):
    assert run(config, dataset, tmp_path / "m") == 0
    about = [Path(Model(str(tmp_path / "m")).evaluation), Path(Model(str(tmp_path / "m")).report)]
    for path in about:
        path.write_text("{}")
    assert run(config, dataset, tmp_path / "m", "--replace", "--set", "training.embedding_dimension=3") == 0
    assert factor_tables.read_table(Model(str(tmp_path / "m")).user_factors).shape == (N, 3)
    assert not any(path.exists() for path in about)  # they described the model before


def test_a_failed_write_leaves_no_model(tmp_path, monkeypatch, config, dataset):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(model_directory.export, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        run(config, dataset, tmp_path / "m")
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_missing_shards_are_named(tmp_path):
    factor_tables.write_table(str(tmp_path / "t"), np.ones((7, 2), "f"), 3)
    (tmp_path / "t-00001-of-00003.npy").unlink()
    with pytest.raises(Exception, match="some of the 3 shards are missing"):
        factor_tables.read_table(str(tmp_path / "t"))


def test_a_process_killed_in_training_is_started_again(tmp_path, config, dataset):
    """A real SIGKILL, of a real process, with nothing on its output but its own lines."""
    command = [sys.executable, "-m", "trainer.task", "--config", config, "--dataset_dir", dataset]
    command += ["--model_dir", str(tmp_path / "m"), "--set", "training.max_sweeps=40000"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "CUDA_VISIBLE_DEVICES": ""}
    first = forkserver.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.time() + 60
    while not list((tmp_path / "m").glob("checkpoints/sweep-*/state.json")) and time.time() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    state = max((tmp_path / "m").glob("checkpoints/sweep-*/state.json"))
    content = json.loads(state.read_text())
    content["identity"]["max_sweeps"] = len(content["history"]) + 2
    del content["digest"]
    state.write_text(json.dumps(content | {"digest": digest_of(content)}))
    command[-1] = f"training.max_sweeps={len(content['history']) + 2}"
    again = forkserver.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr == ""
    assert manifest(tmp_path / "m")["resumed_after_sweep"] == len(content["history"])
