"""Several worker processes on loopback, as TF_CONFIG names them, against one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables, storage
from artifacts.paths import Model, shard_name
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import TrainingSettings
from tests.support import forkserver, quick_export
from tests.support.datasets import write_dataset
from tests.support.oracles import DenseWals
from trainer.als import tf_collectives, wals
from trainer.als.batches import Batches
from trainer.als.collectives import Cluster
from trainer.als.solver import Solver
from trainer.job import training_job

N, M, K = 60, 26, 5
OTHER = ("logs/", "saved_model/")  # named by the time, or without graphs
SETTINGS = {"embedding_dimension": K, "max_sweeps": 6, "regularization_coeff": 0.3, "col_weights_exponent": 0.3}

# A worker: batches of 40 entries, so that rows are cut and summed; it prints the most rows it ever had of the users.
# The chief saves one signature of its SavedModel.
WORKER = """
import json, sys, time
from configs.errors import UserError
from configs.settings import TrainingSettings
from tests.support import quick_export
from trainer.als import tf_collectives
from trainer.job import training_job
settings, dataset, model = TrainingSettings(**json.loads(sys.argv[1])), sys.argv[2], sys.argv[3]
cluster = tf_collectives.from_environment(gathered_floats=40 * settings.embedding_dimension)
gather, gathered = cluster.gather, []
def watched(columns, table, weights):
    parts = gather(columns, table, weights)
    gathered.append(len(parts[0]))
    return parts
cluster.gather = watched
try:
    with quick_export.only("recommend"):
        training_job.train(settings, dataset, model, replace=False, cluster=cluster)
    print(json.dumps({"gathered": max(gathered)}))
except UserError as error:
    print(json.dumps({"error": str(error)}))
time.sleep(2)  # as an interpreter takes to end: the other worker may still receive what this one sent
"""


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(3)
    seen = rng.random((N, M)) < 0.3
    seen[:, 4] = True  # an item that everyone has: more entries than a batch
    seen[7] = False
    return sp.csr_matrix(np.where(seen, rng.random((N, M)) + 0.2, 0).astype("f"))


def start(settings: dict, dataset: str, model: Path, count: int = 2) -> list[subprocess.Popen]:
    """Start the chief and its workers, each in a process."""
    sockets = [socket.socket() for _ in range(count)]
    for own in sockets:
        own.bind(("127.0.0.1", 0))
    chief, *others = (f"127.0.0.1:{own.getsockname()[1]}" for own in sockets)
    for own in sockets:
        own.close()
    tasks = [("chief", 0), *(("worker", index) for index in range(len(others)))]
    processes = []
    for kind, index in tasks:
        config = {"cluster": {"chief": [chief], "worker": others}, "task": {"type": kind, "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": ".", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", WORKER, json.dumps(settings), dataset, str(model)]
        processes.append(
            forkserver.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    return processes


def answers(processes: list[subprocess.Popen]) -> list[dict]:
    """Return the last line of each."""
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        said = [process.communicate(timeout=300) for process in processes]
    for process, (_, err) in zip(processes, said, strict=True):
        assert process.returncode == 0, err[-2000:]
    return [json.loads(out.strip().splitlines()[-1]) for out, _ in said]


def test_two_workers_give_what_one_process_gives(tmp_path, matrix):
    dataset = write_dataset(tmp_path / "dataset", matrix, shards=4)
    alone, shared = Model(str(tmp_path / "alone")), Model(str(tmp_path / "shared"))
    with quick_export.without_graphs():  # first, so that the workers find the kernels compiled
        training_job.train(TrainingSettings(**SETTINGS), dataset, alone.root, replace=False)
    found = answers(start(SETTINGS, dataset, Path(shared.root)))
    assert not any("error" in answer for answer in found), found
    for name in ("user_factors", "item_factors"):
        one, two = (factor_tables.read_table(getattr(model, name)) for model in (alone, shared))
        assert np.abs(one - two).max() <= 1e-5 * np.abs(one).max()
        files = [shard_name(getattr(shared, name), shard, 4, ".npy") for shard in range(4)]
        assert [len(np.load(file)) for file in files] == [len(range(s, len(one), 4)) for s in range(4)]
    manifests = [json.loads(storage.read_bytes(model.manifest)) for model in (alone, shared)]
    losses = [[sweep["loss"] for sweep in manifest["history"]] for manifest in manifests]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    saved = [{name for name in manifest["files"] if not name.startswith(OTHER)} for manifest in manifests]
    assert saved[0] == saved[1] and "saved_model/saved_model.pb" in manifests[1]["files"]
    # Of the 60 users no process had more than a batch of 40 at once, besides its own 30.
    assert all(answer["gathered"] <= 40 for answer in found)


def test_what_fails_in_one_worker_ends_all_of_them(tmp_path, matrix):
    dataset = write_dataset(tmp_path / "dataset", matrix, shards=2)
    path = tmp_path / "dataset" / "items_for_user-00001-of-00002"
    path.write_bytes(b"n" * path.stat().st_size)
    one, other = answers(start(SETTINGS, dataset, tmp_path / "model"))
    assert other["error"].startswith(f"{path} is damaged")
    assert one["error"] == "1 of the 2 workers failed; see their logs"
    assert not (tmp_path / "model" / "manifest.json").exists()


class Cut(Cluster):
    """A single process that cuts rows as several do."""

    def batch_entries(self, k: int) -> int:
        return 13


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_a_row_longer_than_a_batch_is_cut_and_summed(nu):
    rng = np.random.default_rng(0)
    observed = rng.random((9, 50)) < 0.6
    oracle = DenseWals(observed, rng.random((9, 50)), rng.random(9) + 0.5, rng.random(50) + 0.5, 0.1, 0.3, nu)
    start = rng.standard_normal((9, 4)), rng.standard_normal((50, 4))
    places = np.nonzero(observed)
    rows = SparseRows.from_matrix(sp.csr_matrix((oracle.ratings[places], places), observed.shape))
    assert rows.lengths.min() > 13
    side = wals.Side(start[0].astype("f"), rows.counts(9), oracle.row_weights.astype("f"), 9)
    fixed = wals.Side(start[1].astype("f"), observed.sum(0), oracle.col_weights.astype("f"), 50)
    objective = wals.Objective(0.1, 0.3, nu)
    loss, vectors = wals.sweep(Batches([rows], 4, Solver(), Cut()), side, fixed, objective)
    found = side.table @ vectors.T
    np.testing.assert_allclose(found, oracle.solve_rows(start[1]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((loss.total, loss.rwse), oracle.loss(found, start[1]), rtol=1e-5)


def test_pieces_hold_every_entry_once_in_order():
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((20, 90)) < 0.3, rng.random((20, 90)), 0)
    dense[3] = 1.0
    rows = SparseRows.from_matrix(sp.csr_matrix(dense), sp.csr_matrix(dense * 2))
    pieces = list(rows.pieces(25))
    assert all(piece.entries <= 25 for piece in pieces) and sum(len(piece) > 1 for piece in pieces) == 0
    whole = list(rows.pieces(60))
    assert any(len(piece) > 1 for piece in whole)
    for some in (pieces, whole):
        for name in ("indices", "values", "weights"):
            np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in some]), getattr(rows, name))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG is not in TensorFlow's format"),
        ("[1]", "TF_CONFIG is not in TensorFlow's format"),
        (
            '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
            "worker 2 is not in the cluster",
        ),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "None 0 is not in the cluster"),
    ],
)
def test_a_wrong_tf_config_is_named(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=message):
        tf_collectives.from_environment()


@pytest.mark.parametrize("config", ["", "{}", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}'])
def test_one_task_is_a_single_process(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    assert tf_collectives.from_environment().size == 1


def test_shards_that_workers_cannot_share_are_refused(tmp_path, matrix):
    class Three(Cluster):
        size = 3

    dataset = write_dataset(tmp_path / "dataset", matrix, shards=4)
    with pytest.raises(UserError, match=r"dataset\.shards a multiple of 3"):
        training_job.read_info(dataset, Three())
