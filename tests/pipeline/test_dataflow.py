"""The jobs as Dataflow gets them, translated offline: what is staged and asked for, and that workers can run it.

That the service takes the job, it does not show; docs/gcp.md has the commands that do.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability import stager
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import environments
from apache_beam.utils import retry
from google.cloud import storage
from google.cloud.dataflow_v1beta3 import TemplateMetadata
from google.protobuf import json_format

from artifacts import manifests, publish
from artifacts.storage import open_to_read, write_bytes
from artifacts.storage.google_cloud import check_bucket
from configs.errors import UserError
from configs.settings import load_settings, resolve
from deploy.dataflow_template import launch
from pipeline import preprocess, verify
from pipeline.beam import options as beam_options
from pipeline.beam.finalize import PublishFromWorker
from tests.support import http_server, storage_server
from tests.support.exports import make_dataset, reads, settings, write_ndjson

ROOT = Path(__file__).parents[2]
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
    with storage_server.emulating("american") as environment:
        for name, value in (environment | {"GOOGLE_CLOUD_PROJECT": CLOUD["project"]}).items():
            monkeypatch.setenv(name, value)
        for name, place in (("bucket", CLOUD["region"]), ("european", "EU"), ("double", "EUR4")):
            created = storage.Client().create_bucket(name)
            created._patch_property("location", place)  # the emulator takes it only afterwards
            created.patch()
        yield "gs://bucket"


def made(tmp_path, **dataflow):
    export = write_ndjson(tmp_path / "in" / "ga_sessions_20240101.ndjson", [reads("a", {"x": 9, "y": 5})])
    beam_section = {"runner": "DataflowRunner", "template_location": "gs://bucket/template", "no_auth": True}
    sections = {"cloud": CLOUD, "dataflow": DATAFLOW | dataflow, "beam": beam_section}
    return resolve(settings(tmp_path / "out", export, **sections))


def translated() -> tuple[dict, beam_runner_api_pb2.Pipeline]:
    """Return what was made for Dataflow: the job's template, and the pipeline that was staged with it."""
    template = json.loads(open_to_read("gs://bucket/template").read())
    url = template["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return template, beam_runner_api_pb2.Pipeline.FromString(open_to_read(url).read())


def test_the_job_as_dataflow_gets_it_runs_elsewhere(bucket, tmp_path, capsys):
    """Submitted as a Flex Template's launcher does, which ends before the job begins."""
    own = made(tmp_path, container_image="europe-west1-docker.pkg.dev/site/wals/worker:1")
    write_bytes("gs://bucket/config.yaml", json.dumps(own.model_dump(mode="json")).encode())
    launch.main(["--config=gs://bucket/config.yaml", "--settings=dataset.shards=2;source.min_dwell_ms=1"])
    out = tmp_path / "out"
    assert f"publishes the dataset in {out} when" in capsys.readouterr().out and not out.exists()
    job, proto = translated()
    environment = job["environment"]
    (pool, *_) = environment["workerPools"]
    assert environment["serviceAccountEmail"] == CLOUD["service_account"]
    assert environment["serviceKmsKeyName"] == CLOUD["kms_key"]
    assert job["labels"]["team"] == "news"
    assert pool["machineType"] == "n2-highmem-4" and pool["numWorkers"] == 2 and pool["diskSizeGb"] == 50
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 9
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE" and pool["subnetwork"] == CLOUD["subnetwork"]
    images = {image["containerImage"] for image in pool["sdkHarnessContainerImages"]}
    assert images == {"europe-west1-docker.pkg.dev/site/wals/worker:1"}
    for package in pool.get("packages", []):
        path = "gs://" + package["location"].removeprefix("storage.googleapis.com/")
        assert open_to_read(path).read(1), f"{path} is listed and not staged"

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
    manifest = manifests.read_any(str(out))
    assert list(verify.problems(str(out), manifest)) == []
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or "lock" in path.name] == []
    here = make_dataset(tmp_path / "here", own.source.input, source={"min_dwell_ms": 1}, dataset={"shards": 2})
    content = manifest.model_dump(mode="json")
    assert content["files"] == here["files"] and content["counts"] == here["counts"]
    with pytest.raises(UserError, match="is not empty; name another directory or pass --replace"):
        launch.main(["--config=gs://bucket/config.yaml"])


def test_without_an_image_the_project_itself_is_staged(bucket, tmp_path):
    preprocess.submit(made(tmp_path), [], replace=False)
    job, _ = translated()
    (pool, *_) = job["environment"]["workerPools"]
    staged = {package["name"]: package["location"] for package in pool["packages"]}
    assert "workflow.tar.gz" in staged
    path = "gs://" + staged["workflow.tar.gz"].removeprefix("storage.googleapis.com/")
    assert len(open_to_read(path).read()) > 50_000


def test_the_last_step_may_be_tried_again(tmp_path, monkeypatch):
    """At any of its moments: what it leaves is whole, and the run's own."""
    export = write_ndjson(
        tmp_path / "ga_sessions_20240101.ndjson", [reads("a", {"x": 9, "y": 5}), reads("b", {"x": 2})]
    )
    root, tries, steps = tmp_path / "out", [], PublishFromWorker.__call__

    def breaking(self, summary):
        for fail in (True, False, False):
            with monkeypatch.context() as patch:
                if fail:
                    patch.setattr(publish, "publish", lambda *_: 1 / 0)
                    with pytest.raises(ZeroDivisionError):
                        steps(self, summary)
                else:
                    steps(self, summary)
            tries.append((self.run, (root / "manifest.json").exists()))

    monkeypatch.setattr(PublishFromWorker, "__call__", breaking)
    preprocess.submit(settings(root, export), [], replace=False)
    assert [there for _, there in tries] == [False, True, True]
    manifest = manifests.DatasetManifest.read(str(root / "manifest.json"))
    assert list(verify.problems(str(root), manifest)) == [] and manifest.run == tries[0][0]
    other = PublishFromWorker(dict, str(root), str(tmp_path / "s"), "another", replace=False)
    with pytest.raises(UserError, match="another run has written a dataset there"):
        steps(other, {})


def test_the_templates_description_is_one_to_google():
    text = (ROOT / "deploy" / "dataflow_template" / "metadata.json").read_text()
    found = json_format.Parse(text, TemplateMetadata.pb(TemplateMetadata()))  # an unknown key is an error
    flags = {"config", "settings", "replace", "input", "source", "start_date", "end_date", "dataset_dir"}
    assert {each.name for each in found.parameters} == flags
    assert [each.name for each in found.parameters if not each.is_optional] == ["config"]
    examples = {"config": "gs://b/gcp.yaml", "input": "bq://p.d.events_*", "dataset_dir": "gs://b/d"}
    examples |= dict.fromkeys(("start_date", "end_date"), "2024-01-31")
    examples |= {"replace": "true", "settings": "a.b=c;d.e=f"}
    for each in found.parameters:
        assert each.label and each.help_text
        assert all(re.fullmatch(pattern, examples[each.name]) for pattern in each.regexes)


def test_settings_become_beams_options(tmp_path):
    options = beam_options.from_settings(made(tmp_path), ["--region=us-central1"])
    assert options.view_as(GoogleCloudOptions).region == "us-central1", "the command line wins"
    assert options.view_as(GoogleCloudOptions).labels == ["team=news"]
    assert options.view_as(WorkerOptions).use_public_ips is False
    lacking = made(tmp_path).model_copy(update={"cloud": load_settings(str(ROOT / "configs/local.yaml")).cloud})
    with pytest.raises(UserError, match=r"Dataflow needs cloud\.project; set it as configs/gcp\.yaml does"):
        beam_options.from_settings(lacking, [])
    here = made(tmp_path).model_copy(update={"beam": {"runner": "FnApiRunner"}})
    assert beam_options.from_settings(here, []).view_as(WorkerOptions).machine_type is None


@pytest.mark.parametrize(
    ("temp", "said"),
    [
        ("gs://american/tmp", "temp_location gs://american/tmp: its bucket is in US, not in europe-west1; name one"),
        ("gs://double", "its bucket is in EUR4, not in europe-west1"),
        ("gs://none/tmp", "bucket none does not exist; create it in europe-west1"),
    ],
)
def test_a_bucket_of_another_region_is_refused_before_anything_is_made(bucket, tmp_path, temp, said):
    own = made(tmp_path)
    own = own.model_copy(update={"cloud": own.cloud.model_copy(update={"temp_location": temp})})
    for run in (preprocess.preprocess, preprocess.submit):
        with pytest.raises(UserError, match=said):
            run(own, [], replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    for near in ("gs://bucket/tmp", "gs://european"):
        check_bucket(near, "europe-west1", "x")


def test_without_credentials_it_is_said_how_to_get_some(bucket, tmp_path, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(UserError, match=r"no usable Google credentials .*gcloud auth application-default login"):
        preprocess.preprocess(made(tmp_path), [], replace=False)


class Service(http_server.Handler):
    """Dataflow's jobs as far as the client needs them: refuses, or takes a job, which then fails."""

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1  # type: ignore[attr-defined]
        if self.server.refuse:  # type: ignore[attr-defined]
            status, word, message = self.server.refuse  # type: ignore[attr-defined]
            self.say({"error": {"code": status, "status": word, "message": message}}, status)
        else:
            self.say({"id": "job-1", "currentState": "JOB_STATE_PENDING"})

    def do_GET(self):  # noqa: N802
        error = {"id": "1", "time": "2024-01-01T00:00:00Z", "messageImportance": "JOB_MESSAGE_ERROR"}
        messages = [error | {"messageText": "The zone has no machines left.\nTry another."}]
        found = {"id": "job-1", "currentState": "JOB_STATE_FAILED"}
        self.say({"jobMessages": messages} if "messages" in self.path else found)

    def say(self, content, status=200):
        self.answer(status, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("refuse", "said", "asked"),
    [
        ((403, "PERMISSION_DENIED", "dataflow.jobs.create"), r"no permission .*jobs.create.*docs/permissions.md", 1),
        ((404, "NOT_FOUND", "Could not find project site"), "not found .*check the names, cloud.project above all", 1),
        ((429, "RESOURCE_EXHAUSTED", "25 jobs at once"), "a quota is used up .*25 jobs at once", 1),
        ((503, "UNAVAILABLE", "try later"), "the service is failing .*run it again later", 4),
        (None, r"The zone has no machines left. Try another.; see its log: gcloud dataflow jobs show job-1", 1),
    ],
)
def test_what_dataflow_refuses_is_one_line(bucket, tmp_path, monkeypatch, caplog, refuse, said, asked):
    monkeypatch.setattr(stager.Stager, "_create_stage_submission_env_dependencies", lambda _: [])  # it runs pip
    monkeypatch.setattr(retry.Clock, "sleep", lambda *_: None)
    monkeypatch.setattr(time, "sleep", lambda _, pause=time.sleep: pause(0.01))
    own = made(tmp_path, container_image="image")
    beam_section = {name: value for name, value in own.beam.items() if name != "template_location"}
    with http_server.serving(Service) as server:
        server.refuse, server.asked = refuse, 0  # type: ignore[attr-defined]
        endpoint = f"--dataflow_endpoint=http://localhost:{server.server_port}"
        options = beam_options.from_settings(own.model_copy(update={"beam": beam_section}), [endpoint])
        with pytest.raises(UserError, match=said) as raised:
            beam_options.run(lambda pipeline: pipeline | beam.Create([1]), options)
    assert "\n" not in str(raised.value) and server.asked == asked  # type: ignore[attr-defined]
    assert "details of server error" not in caplog.text
