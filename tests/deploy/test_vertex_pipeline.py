"""The pipeline of Vertex AI: its steps are those of a night, and the client against a server of the same protocol.

`make vertex-pipeline-test` compiles it, and runs it with kfp's own local runner and the real commands.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
import yaml
from google.cloud import aiplatform_v1 as vertex

from configs import cli
from configs.errors import UserError
from configs.settings import Settings, load_settings
from deploy.vertex_pipeline import submit
from nightly import ready, run
from nightly.steps.commands import NAMES
from tests.support import pipelines
from tests.support.documents import ROOT, read

SPEC = yaml.safe_load(submit.PIPELINE.read_text(encoding="utf-8"))
CONFIG = "gs://BUCKET/wals/nightly.yaml"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")


def settings(**changes) -> Settings:
    own = {"nightly.directory": "gs://BUCKET/wals/nights", "split.kind": "last_n"}
    return load_settings(str(ROOT / "configs" / "gcp.yaml"), own | changes)


def test_its_tasks_are_the_steps_of_a_night_one_after_the_other():
    """Compile it again with `make vertex-pipeline` if a step has changed."""
    assert pipelines.tasks(SPEC) == ["ready", *(name.replace("_", "-") for name in NAMES)]
    graph = SPEC["root"]["dag"]["tasks"]
    order = pipelines.tasks(SPEC)
    for before, after in zip(order, order[1:], strict=False):
        assert before in graph[after]["dependentTasks"]
    assert all(task["cachingOptions"] == {} for task in graph.values()), "a step decides itself whether it is done"


@pytest.mark.parametrize("task", pipelines.tasks(SPEC))
def test_each_command_is_one_that_its_program_takes(task, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = {"config": "configs/nightly.yaml", "date": "2024-01-06"}
    words = pipelines.command(SPEC, task, values)
    assert read(words) is None
    on_dataflow = task in ("preprocess", "outcome", "refit-preprocess", "predict")
    assert (f"beam.job_name=wals-2024-01-06-{task}" in words) == on_dataflow


def test_its_commands_one_by_one_put_a_night_live(site, tmp_path):
    """The same run directory as `wals night`: that command then has nothing to do."""
    site.configure(split="last_n", require=["recall@20>=0.1"], refit=True)
    date = tmp_path / "date"
    for task in pipelines.tasks(SPEC):
        values = {"config": site.config, "date": date.read_text() if date.exists() else site.day(3)}
        _, _, module, *flags = pipelines.command(SPEC, task, values, str(date))
        main = ready.main if module == "nightly.ready" else lambda argv: run.main(argv, site.world)
        assert cli.run(main, flags) == 0, task
    assert site.live == "2024-01-04.1"
    assert site.run(site.day(3)) == 0 and site.world.calls == []


class Service(grpc.GenericRpcHandler):
    """Vertex AI's pipelines and schedules as far as the client needs them."""

    def __init__(self):
        self.jobs, self.schedules, self.masks = [], {}, []

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        return grpc.unary_unary_rpc_method_handler(lambda data, context: getattr(self, name)(data))

    def CreatePipelineJob(self, data):  # noqa: N802 - the protocol's
        request = vertex.CreatePipelineJobRequest.deserialize(data)
        self.jobs.append(request.pipeline_job)
        return vertex.PipelineJob.serialize(vertex.PipelineJob(name=f"{request.parent}/pipelineJobs/7"))

    def ListSchedules(self, data):  # noqa: N802
        request = vertex.ListSchedulesRequest.deserialize(data)
        found = [one for one in self.schedules.values() if request.filter == f'display_name="{one.display_name}"']
        return vertex.ListSchedulesResponse.serialize(vertex.ListSchedulesResponse(schedules=found))

    def CreateSchedule(self, data):  # noqa: N802
        request = vertex.CreateScheduleRequest.deserialize(data)
        request.schedule.name = f"{request.parent}/schedules/{len(self.schedules) + 1}"
        self.schedules[request.schedule.name] = request.schedule
        return vertex.Schedule.serialize(request.schedule)

    def UpdateSchedule(self, data):  # noqa: N802
        request = vertex.UpdateScheduleRequest.deserialize(data)
        self.masks.append(list(request.update_mask.paths))
        self.schedules[request.schedule.name] = request.schedule
        return vertex.Schedule.serialize(request.schedule)


@contextlib.contextmanager
def serving() -> Iterator[tuple[Service, str]]:
    service = Service()
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield service, f"http://127.0.0.1:{port}"
        server.stop(0).wait(10)


@pytest.fixture
def config(monkeypatch):
    """The settings in place of a file on gs://; returns a function that changes them."""
    current = {}
    monkeypatch.setattr(cli, "settings_from", lambda args, flags: settings(**current))
    return current.update


def test_a_run_has_the_image_the_date_and_the_account_of_the_config(config, capsys):
    with serving() as (service, endpoint):
        config({"vertex.endpoint": endpoint, "cloud.kms_key": "k"})
        submit.main(["--config", CONFIG, "--date", "20240131"])
    (job,) = service.jobs
    assert job.display_name == "wals-night-2024-01-31" and job.encryption_spec.kms_key_name == "k"
    assert dict(job.runtime_config.parameter_values) == {"config": CONFIG, "date": "2024-01-31"}
    assert job.runtime_config.gcs_output_directory == "gs://BUCKET/tmp"
    assert job.service_account.startswith("wals-worker@") and dict(job.labels) == {"component": "recommender"}
    spec = json.loads(vertex.PipelineJob.to_json(job))["pipelineSpec"]
    worker = "REGION-docker.pkg.dev/PROJECT/wals/worker:0.1.0"
    assert {pipelines.container(spec, task)["image"] for task in pipelines.tasks(spec)} == {worker}
    assert [pipelines.command(spec, task, {"config": "c", "date": "d"}) for task in pipelines.tasks(spec)] == [
        pipelines.command(SPEC, task, {"config": "c", "date": "d"}) for task in pipelines.tasks(SPEC)
    ]
    assert "projects/PROJECT/locations/REGION/pipelineJobs/7; follow it at https://" in capsys.readouterr().out


def test_a_second_schedule_changes_the_first(config, capsys):
    with serving() as (service, endpoint):
        config({"vertex.endpoint": endpoint})
        submit.main(["--config", CONFIG, "--schedule", "0 6 * * *", "--image", "jobs:1"])
        submit.main(["--config", CONFIG, "--schedule", "30 7 * * *", "--image", "jobs:2"])
    ((name, schedule),) = service.schedules.items()
    assert schedule.cron == "TZ=Etc/UTC 30 7 * * *" and schedule.max_concurrent_run_count == 1
    assert service.masks == [["create_pipeline_job_request", "cron", "max_concurrent_run_count"]]
    request = schedule.create_pipeline_job_request
    assert request.parent == name.partition("/schedules")[0]
    assert dict(request.pipeline_job.runtime_config.parameter_values)["date"] == "", "each night's own"
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["created", "changed"] and all(name in line for line in said)


@pytest.mark.parametrize(("flags", "kind"), [([], "PipelineJob"), (["--schedule", "0 6 * * *"], "Schedule")])
def test_a_dry_run_prints_what_the_service_could_parse(config, capsys, flags, kind):
    submit.main(["--config", CONFIG, "--dry_run", *flags])
    text = capsys.readouterr().out
    parsed = getattr(vertex, kind).from_json(text)
    assert parsed.display_name == "wals-night"
    assert Path(submit.PIPELINE).stat().st_size < 100_000 and len(text) < 100_000, "the service's limit is larger"


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        ("configs/nightly.yaml", {}, "copy it to gs://"),
        (None, {}, "copy it to gs://"),
        (CONFIG, {"cloud.region": ""}, "needs cloud.region"),
        (CONFIG, {"dataflow.container_image": None}, "needs dataflow.container_image, or --image"),
        (CONFIG, {"nightly.directory": "data/nightly"}, "nightly.directory data/nightly: .* name gs://"),
    ],
)
def test_what_a_run_lacks_is_said_before_it_is_submitted(path, changes, said):
    given = settings(**changes)
    with pytest.raises(UserError, match=said):
        submit.check(given, path, given.dataflow.container_image)
