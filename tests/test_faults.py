"""Faults of disks and memory: the jobs report them in one line and leave nothing half done."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables
from configs import cli
from configs.errors import UserError, recognise
from configs.settings import TrainingSettings
from pipeline import preprocess
from pipeline.dataset import row_files
from tests.support import forkserver, quick_export
from tests.support.datasets import write_dataset
from tests.support.exports import make_dataset, reads, write_ndjson
from tests.support.predicted import make_world, predict
from trainer.inputs import dataset_rows
from trainer.job import training_job
from trainer.job.checkpoints import Checkpoints

MATRIX = sp.random(20, 15, 0.3, random_state=7)
STEPS = {
    "preprocess": "-m pipeline.preprocess --config {root}/config.yaml --dataset_dir {root}/disk/out",
    "train": "-m trainer.task --config {root}/config.yaml --dataset_dir {root}/rows --model_dir {root}/disk/out",
    "predict": "-m pipeline.batch_predict --config {root}/config.yaml --output_dir {root}/disk/out",
}
# Mounts a disk at a place that only this process sees, runs a module, prints its exit status and what is on the disk.
ON_DISK = """
import ctypes, os, runpy, sys
_, options, place, _, module, *flags = sys.argv
libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
NEWNS, NEWUSER, RDONLY, REC, PRIVATE = 0x20000, 0x10000000, 1, 0x4000, 1 << 18

def done(status):
    if status:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")

done(libc.unshare(NEWUSER | NEWNS))
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
done(libc.mount(b"none", b"/", None, REC | PRIVATE, None))
size = b"" if options == "ro" else options.encode()
done(libc.mount(b"tmpfs", place.encode(), b"tmpfs", RDONLY if options == "ro" else 0, size))
sys.argv = [module, *flags]
status = 0
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code or 0
print("=", status, *sorted(os.listdir(place)))
"""


def on_disk(options: str, place: Path, command: str) -> subprocess.CompletedProcess:
    """Return what `-m MODULE FLAGS` prints where it sees, at `place`, a disk with these mount options, or `ro`."""
    place.mkdir(exist_ok=True)
    return forkserver.run(
        [sys.executable, "-c", ON_DISK, options, str(place), *command.split()], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = make_world(tmp_path_factory.mktemp("world"), 3)
    probe = on_disk("size=64k", root / "probe", "-m this")
    if probe.returncode:
        pytest.skip(f"this machine lets no process mount a disk of its own: {probe.stderr.strip()}")
    write_ndjson(root / "in", [reads(f"v{n}", {f"c{m:03}": 1000 + n for m in range(40)}) for n in range(90)])
    (root / "config.yaml").write_text(
        f"source: {{kind: ga360, input: {root}/in}}\ntraining: {{embedding_dimension: 64, max_sweeps: 4}}\n"
        f"dataset_dir: {root}/dataset\nmodel_dir: {root}/model\nbeam: {{runner: FnApiRunner}}\n"
    )
    write_dataset(root / "rows", MATRIX)
    return root


@pytest.mark.parametrize(
    ("step", "size"),
    [
        ("preprocess", "100k"),
        ("train", "16k"),
        ("predict", "8k"),
    ],
)
def test_a_full_disk_is_named_and_leaves_nothing(world, step, size):
    done = on_disk(f"size={size}", world / "disk", STEPS[step].format(root=world))
    assert done.stdout.rpartition("= ")[2].split() in (["1"], ["1", "out"]), done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "No space left on device; make room" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("step", ["train", "predict"])
def test_a_read_only_disk_is_named(world, step):
    done = on_disk("ro", world / "disk", STEPS[step].format(root=world))
    assert done.stdout.rpartition("= ")[2].split() == ["2"], done.stdout + done.stderr
    assert "cannot be written: Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_worker_without_memory_is_named_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(row_files, "group", lambda _: np.zeros(1 << 60, np.uint8))
    write_ndjson(tmp_path / "in", [reads("a", {"x": 1000}), reads("b", {"x": 500})])
    (tmp_path / "c.yaml").write_text(f"source: {{input: {tmp_path}/in}}\nbeam: {{runner: FnApiRunner}}\n")
    arguments = ["--config", str(tmp_path / "c.yaml"), "--dataset_dir", str(tmp_path / "out")]
    assert cli.run(preprocess.main, arguments) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: out of memory: run the job on a larger machine")
    assert sorted(os.listdir(tmp_path)) == ["c.yaml", "in"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("OSError: [Errno 28] No space left on device: '/a/b' [while running 'x']", "/a/b: No space left on device"),
        ("/a/b.partial; No space left on device", "/a/b.partial: No space left on device"),
        ("numpy.core._exceptions._ArrayMemoryError: Unable ... \nMemoryError", "out of memory"),
    ],
)
def test_faults_that_arrive_as_text_are_told(text, line):
    assert str(recognise(RuntimeError(text), "/out")).startswith(line)
    assert recognise(RuntimeError("something else")) is None
    assert str(recognise(OSError(errno.EIO, "Input/output error"), "/out")).startswith("/out: Input/output")
    loop = OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/in/x")
    assert str(recognise(loop)).startswith("/in/x: Too many levels of symbolic links; a symbolic link leads back")


def flip(path: Path) -> bytes:
    """Flip a bit near the end of a file; return its bytes from before."""
    before = path.read_bytes()
    after = bytearray(before)
    after[-len(after) // 4] ^= 1
    path.write_bytes(after)
    return before


@pytest.mark.parametrize("name", ["dataset/transform/transform_fn/assets/vocab_users", "model/factors/user_factors"])
def test_a_flipped_bit_is_named_before_prediction(tmp_path, name):
    make_world(tmp_path, 2)
    path = next(tmp_path.glob(f"{name}*"))
    flip(path)
    with pytest.raises(UserError, match=f"{path.name} is damaged: its checksum is not the manifest's"):
        predict(tmp_path, tmp_path / "out")


def test_a_flipped_bit_in_a_vocabulary_is_named_before_training(tmp_path):
    root = write_dataset(tmp_path / "dataset", MATRIX)
    flip(tmp_path / "dataset/transform/transform_fn/assets/vocab_items")
    with pytest.raises(UserError, match="vocab_items is damaged: its checksum is not the manifest's"):
        dataset_rows.read_info(root)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that died after two passes, and its settings."""
    root = tmp_path_factory.mktemp("stopped")
    dataset = write_dataset(root / "dataset", MATRIX)
    settings = TrainingSettings(embedding_dimension=3, max_sweeps=6)
    save = Checkpoints.save
    with quick_export.without_graphs(), pytest.MonkeyPatch.context() as patch:
        training_job.train(settings, dataset, str(root / "whole"), False)

        def save_and_die(self, state):
            save(self, state)
            if len(state.history) == 4:
                raise SystemExit(9)

        patch.setattr(Checkpoints, "save", save_and_die)
        with pytest.raises(SystemExit):
            training_job.train(settings, dataset, str(root / "model"), False)
    return root, settings


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("name", ["rows-00000-of-00001.npy", "state.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(stopped, tmp_path, capsys, name):
    root, settings = stopped
    model = tmp_path / "model"
    shutil.copytree(root / "model", model)
    path = model / "checkpoints" / "sweep-00004" / name
    flip(path)
    assert training_job.train(settings, str(root / "dataset"), str(model), False).resumed_after_sweep == 2
    assert f"{path} is damaged" in "".join(capsys.readouterr().out.split("\n"))
    tables = [factor_tables.read_table(f"{place}/factors/user_factors") for place in (model, root / "whole")]
    np.testing.assert_allclose(*tables, rtol=1e-5)


@pytest.mark.usefixtures("without_graphs")
def test_where_all_checkpoints_are_damaged_it_says_what_to_do(stopped, tmp_path):
    root, settings = stopped
    shutil.copytree(root / "model", tmp_path / "model")
    for path in (tmp_path / "model" / "checkpoints").glob("*/rotation.npy"):
        flip(path)
    with pytest.raises(UserError, match=r"no checkpoint in \S+ can be read; pass --replace"):
        training_job.train(settings, str(root / "dataset"), str(tmp_path / "model"), False)


def test_a_row_file_that_lost_its_end_is_named(tmp_path):
    dataset = Path(write_dataset(tmp_path / "dataset", MATRIX))
    path = dataset / "items_for_user-00001-of-00002"
    whole = path.read_bytes()
    for size in (len(whole) - 1, 3):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=f"{path.name} has {size} bytes where the manifest has {len(whole)}"):
            dataset_rows.read_info(str(dataset))


def test_bundles_that_are_done_twice_give_the_same_files(tmp_path):
    rows = [reads(f"v{n}", {f"c{m}": 1000 + n for m in range(n % 4 + 1)}) for n in range(12)]
    glob = write_ndjson(tmp_path / "in.ndjson", [*rows, b"{"])
    sections = {"dataset": {"shards": 2}, "split": {"kind": "last_n"}, "source": {"max_reject_fraction": 1}}
    once = make_dataset(tmp_path / "once", glob, **sections)
    twice = make_dataset(
        tmp_path / "twice", glob, beam={"runner": "FnApiRunner", "direct_runner_bundle_repeat": 1}, **sections
    )
    assert once["files"] == twice["files"] and once["counts"] == twice["counts"]
    for folder, _, names in os.walk(tmp_path / "once"):
        assert sorted(os.listdir(Path(str(folder).replace("once", "twice")))) == sorted(
            [*names, *next(os.walk(folder))[1]]
        )
