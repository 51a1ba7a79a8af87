"""Both Beam jobs on real portable runners, their workers in processes of their own: the records are the same.

`make prism` and `make flink` fetch the engines, which are not Python packages, and run these tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.settings import Settings
from pipeline import batch_predict, preprocess
from tests.support.exports import SHARED, make_dataset, needs_shared, settings
from trainer.job import training_job

ROOT = Path(__file__).parents[2]
PRISM, FLINK = os.environ.get("WALS_PRISM"), os.environ.get("WALS_FLINK_JAR")
ENGINES = [
    pytest.param(
        ["--runner=PrismRunner", f"--prism_location={PRISM}"],
        id="prism",
        marks=pytest.mark.skipif(not PRISM, reason="no Prism: `make prism` builds it (Go) and runs this"),
    ),
    pytest.param(
        ["--runner=FlinkRunner", "--flink_master=[local]", f"--flink_job_server_jar={FLINK}", "--parallelism=2"],
        id="flink",
        marks=pytest.mark.skipif(not FLINK, reason="no Flink: `make flink` gets it (Maven, Java 17) and runs this"),
    ),
]


@contextlib.contextmanager
def workers() -> Iterator[list[str]]:
    """Start a pool of worker processes; yield the flags that lead a runner to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    pool = subprocess.Popen(
        [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"],
        env=os.environ | path,
        cwd="/",  # the submitter's directory is not theirs
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert time.monotonic() < deadline and pool.poll() is None, "the pool did not start"
            time.sleep(0.2)
        yield ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pool.pid, signal.SIGTERM)
        pool.wait(30)


def files(root: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.glob(pattern)) if path.is_file()}


@needs_shared
@pytest.mark.filterwarnings("ignore")  # the runners' own
@pytest.mark.parametrize("flags", ENGINES)
def test_another_engine_gives_the_same_records(tmp_path, flags):
    glob, layout = SHARED / "lastfm" / "ga360" / "*", {"dataset": {"shards": 3}, "split": {"kind": "last_n", "n": 3}}
    records = ("items_for_user-*", "users_for_item-*", "held_out-*", "items.parquet", "transform/transform_fn/assets/*")
    make_dataset(tmp_path / "dataset", glob, **layout)
    with workers() as apart:
        preprocess.preprocess(settings(tmp_path / "other", glob, **layout), [*flags, *apart], replace=False)
        for pattern in records:
            expected = files(tmp_path / "dataset", pattern)
            assert expected and files(tmp_path / "other", pattern) == expected, pattern

        names = {"dataset_dir": "dataset", "model_dir": "model", "predictions_dir": "predictions"}
        tree = {key: str(tmp_path / name) for key, name in names.items()}
        made = Settings.model_validate(
            tree | {"training": {"embedding_dimension": 8, "max_sweeps": 4}, "beam": {"runner": "FnApiRunner"}}
        )
        training_job.train(made.training, made.dataset_dir, made.model_dir, replace=False)
        batch_predict.predict(made, [], replace=False)
        elsewhere = made.model_copy(update={"predictions_dir": str(tmp_path / "elsewhere")})
        batch_predict.predict(elsewhere, [*flags, *apart], replace=False)
    expected = files(tmp_path / "predictions", "predictions-*")
    assert len(expected) == 6 and files(tmp_path / "elsewhere", "predictions-*") == expected
