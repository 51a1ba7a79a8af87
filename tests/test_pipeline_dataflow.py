"""The jobs as Dataflow gets them, translated offline: what is staged and asked for, and that workers can run it.

That the service takes the job, it does not show; docs/gcp.md has the commands that do.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import environments
from exports import reads, settings, write_ndjson
from gcp_storage_emulator.server import create_server

from configs.errors import UserError
from configs.settings import load_settings
from pipeline import accounts, beam_options, publish, sources, storage, transforms
from pipeline.spill import Spill

ROOT = Path(__file__).parents[1]
CLOUD = {
    "project": "site",
    "region": "europe-west1",
    "temp_location": "gs://bucket/tmp",
    "service_account": "worker@site.iam.gserviceaccount.com",
    "subnetwork": "regions/europe-west1/subnetworks/private",
    "kms_key": "projects/site/locations/europe-west1/keyRings/r/cryptoKeys/k",
    "labels": {"team": "news"},
}
DATAFLOW = {"machine_type": "n2-highmem-4", "workers": 2, "max_workers": 9, "disk_gb": 50, "private_ips": True}

# Google's clients leave sockets to the collector and warn of their own ways.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def bucket(monkeypatch):
    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server._api._httpd.server_port}")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "site")
    yield "gs://bucket"
    server.stop()


def made(tmp_path, **dataflow):
    export = write_ndjson(tmp_path / "in" / "ga_sessions_20240101.ndjson", [reads("a", {"x": 9, "y": 5})])
    beam_section = {"runner": "DataflowRunner", "template_location": "gs://bucket/template", "no_auth": True}
    sections = {"cloud": CLOUD, "dataflow": DATAFLOW | dataflow, "beam": beam_section}
    return settings(tmp_path / "out", export).model_validate(settings(tmp_path / "out", export).model_dump() | sections)


def translate(tmp_path, own) -> tuple[dict, beam_runner_api_pb2.Pipeline]:
    """Builds the job for Dataflow: its template, and the pipeline that was staged with it."""
    options = beam_options.from_settings(own, [])
    files = sources.match_input(own.source)
    staging = str(tmp_path / "staging")
    os.makedirs(staging)
    with beam.Pipeline(options=options) as pipeline:
        transforms.preprocess(pipeline, own, files, staging, Spill(beam_options.shared_folder(options, staging)))
    template = json.loads(storage.open_to_read("gs://bucket/template").read())
    url = template["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return template, beam_runner_api_pb2.Pipeline.FromString(storage.open_to_read(url).read())


def test_the_job_as_dataflow_gets_it_runs_elsewhere(bucket, tmp_path):
    own = made(tmp_path, container_image="europe-west1-docker.pkg.dev/site/wals/worker:1")
    template, proto = translate(tmp_path, own)
    environment = template["environment"]
    (pool, *_) = environment["workerPools"]
    assert environment["serviceAccountEmail"] == CLOUD["service_account"]
    assert environment["serviceKmsKeyName"] == CLOUD["kms_key"]
    assert template["labels"]["team"] == "news"
    assert pool["machineType"] == "n2-highmem-4" and pool["numWorkers"] == 2 and pool["diskSizeGb"] == 50
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 9
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE" and pool["subnetwork"] == CLOUD["subnetwork"]
    images = {image["containerImage"] for image in pool["sdkHarnessContainerImages"]}
    assert images == {"europe-west1-docker.pkg.dev/site/wals/worker:1"}
    for package in pool.get("packages", []):
        path = "gs://" + package["location"].removeprefix("storage.googleapis.com/")
        assert storage.open_to_read(path).read(1), f"{path} is listed and not staged"

    text = proto.SerializeToString()
    assert str(ROOT).encode() not in text, "the job names the submitter's copy of the project"
    home = os.path.expanduser("~").encode()
    found = [match for match in re.findall(rb"/[\w./-]{4,}", text) if match.startswith(home + b"/")]
    assert not found

    # What was staged, run by a runner that knows nothing but it.
    for environment in proto.components.environments.values():
        environment.CopyFrom(environments.EmbeddedPythonEnvironment.default().to_runner_api(None))
    result = FnApiRunner().run_via_runner_api(proto, beam_options.from_settings(settings(tmp_path, "x"), []))
    result.wait_until_finish()
    summary = accounts.take_summary(str(tmp_path / "staging"))
    assert summary["counts"]["pairs.read"] == 2
    assert {name.rsplit("/")[-1] for name in publish.list_files(str(tmp_path / "staging"))} >= {
        "items_for_user-00000-of-00001",
        "users_for_item-00000-of-00001",
        "vocab_users",
        "vocab_items",
    }


def test_without_an_image_the_project_itself_is_staged(bucket, tmp_path):
    template, _ = translate(tmp_path, made(tmp_path))
    (pool, *_) = template["environment"]["workerPools"]
    staged = {package["name"]: package["location"] for package in pool["packages"]}
    assert "workflow.tar.gz" in staged
    path = "gs://" + staged["workflow.tar.gz"].removeprefix("storage.googleapis.com/")
    assert len(storage.open_to_read(path).read()) > 50_000


def test_settings_become_beams_options(tmp_path):
    options = beam_options.from_settings(made(tmp_path), ["--region=us-central1"])
    assert options.view_as(GoogleCloudOptions).region == "us-central1", "the command line wins"
    assert options.view_as(GoogleCloudOptions).labels == ["team=news"]
    assert options.view_as(WorkerOptions).use_public_ips is False
    lacking = made(tmp_path).model_copy(update={"cloud": load_settings(str(ROOT / "configs/local.yaml")).cloud})
    with pytest.raises(UserError, match=r"Dataflow needs cloud\.project; configs/gcp\.yaml"):
        beam_options.from_settings(lacking, [])
    here = made(tmp_path).model_copy(update={"beam": {"runner": "FnApiRunner"}})
    assert beam_options.from_settings(here, []).view_as(WorkerOptions).machine_type is None
