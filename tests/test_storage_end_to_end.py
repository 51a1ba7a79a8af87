"""The three jobs with everything on gs://, through Beam's file system and TensorFlow's own, against an emulator."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from configs.settings import Settings
from pipeline import batch_predict
from tests.support import forkserver, quick_export, storage_server
from tests.support.exports import PLAIN_RUNNER, make_dataset, reads, write_ndjson
from trainer.job import training_job

ROOT = Path(__file__).parents[1]
SECONDS = 600
SPLIT = {"split": {"kind": "last_n"}}
SECTIONS = {
    "training": {"embedding_dimension": 4, "max_sweeps": 4, "regularization_coeff": 0.01},
    "beam": {"runner": "FnApiRunner"},
}
JOBS = """
import sys
from pipeline import batch_predict, preprocess
from tests.support import quick_export
from trainer import task
config = ["--config", sys.argv[1]]
preprocess.main([*config, *sys.argv[2:]])
with quick_export.only("recommend"):
    task.main(config)
batch_predict.main(config)
"""


def connect(server: storage_server.Server) -> storage.Bucket:
    """Return the emulator's bucket, by Google's own client."""
    options = {"api_endpoint": server.environment["STORAGE_EMULATOR_HOST"]}
    return storage.Client("project", AnonymousCredentials(), client_options=options).bucket(storage_server.BUCKET)


def directories(root: str | Path) -> dict[str, str]:
    return {f"{name}_dir": f"{root}/{name}" for name in ("dataset", "model", "predictions")}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_preprocess_train_and_predict_with_everything_on_gs(tmp_path):
    rows = [reads(f"v{n}", {f"c{c}": 1000 + c for c in range(n % 2, 12, 2) if c != n % 12}) for n in range(12)]
    export = write_ndjson(tmp_path / "ga_sessions_20240101.ndjson.gz", rows)
    make_dataset(tmp_path / "dataset", export, **SPLIT)
    here = Settings.model_validate(SECTIONS | directories(tmp_path) | {"beam": {"runner": PLAIN_RUNNER}})
    with quick_export.only("recommend"):
        training_job.train(here.training, here.dataset_dir, here.model_dir, replace=False)
    batch_predict.predict(here, [], replace=False)

    with storage_server.serving(tmp_path) as server:
        bucket = connect(server)
        bucket.blob(f"export/{export.name}").upload_from_filename(str(export))
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps(SECTIONS | SPLIT | {"source": {"kind": "ga360"}} | directories(server.bucket)))
        done = forkserver.run(
            [sys.executable, "-c", JOBS, str(config), "--input", f"{server.bucket}/export/*"],
            cwd=ROOT,
            env=os.environ | server.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        there = {blob.name: blob.download_as_bytes() if blob.size else b"" for blob in bucket.list_blobs()}

    expected = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    outputs = ("dataset/", "model/", "predictions/")
    logs = "model/logs/"  # their names hold the time

    def compared(names: Iterable[str]) -> set[str]:
        return {name for name in names if not name.endswith("/") and not name.startswith(logs)}  # files, not marks

    assert compared(there) - {f"export/{export.name}"} == compared(n for n in expected if n.startswith(outputs))
    ends = ("-of-00001", "-of-00001.npy", "vocab_users", "vocab_items", "items.parquet")
    equal = [name for name in expected if name.startswith(outputs) and name.endswith(ends)]
    assert len(equal) >= 8
    for name in equal:
        assert there[name] == expected[name].read_bytes(), name
    seen = [urllib.parse.unquote(each) for each in server.seen]  # of TensorFlow, which alone comes by the proxy
    for said in ("GET .*dataset.partial/tmp/tftransform_tmp", "PUT .*name=model/saved_model/"):
        assert any(re.match(said, each) for each in seen), (said, seen)
