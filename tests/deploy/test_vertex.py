"""The trainer as a job of Vertex AI: its specification, and the client against a server of the same protocol."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.cloud import aiplatform_v1 as vertex
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, json_format

from configs.errors import UserError
from configs.settings import Settings, load_settings
from deploy.vertex import jobs, train

ROOT = Path(__file__).parents[2]
GCP = str(ROOT / "configs" / "gcp.yaml")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")


def made(**vertex_section) -> Settings:
    overrides = {f"vertex.{name}": value for name, value in vertex_section.items()}
    return load_settings(GCP, overrides | {"training.solver": "cg", "training.row_weights": 2.5})


class Service(grpc.GenericRpcHandler):
    """Vertex AI's jobs and models as far as the client needs them: takes a job, and reports its states in turn."""

    def __init__(self, states: list, refuse: grpc.StatusCode | None = None, known: bool = False):
        self.states, self.refuse, self.known, self.requests = states, refuse, known, []

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        return grpc.unary_unary_rpc_method_handler(lambda data, context: getattr(self, name)(data, context))

    def CreateCustomJob(self, data, context):  # noqa: N802 - the protocol's
        if self.refuse:
            context.abort(self.refuse, "refused")
        request = vertex.CreateCustomJobRequest.deserialize(data)
        self.requests.append(request)
        return vertex.CustomJob.serialize(vertex.CustomJob(name=f"{request.parent}/customJobs/7"))

    def GetCustomJob(self, data, context):  # noqa: N802
        state = self.states.pop(0)
        if state is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
        found = vertex.CustomJob(state=state)
        if state == vertex.JobState.JOB_STATE_FAILED:
            found.error = {"code": 9, "message": "out of memory"}
        return vertex.CustomJob.serialize(found)

    def ListModels(self, data, context):  # noqa: N802
        models = [vertex.Model(name="projects/p/locations/r/models/3")] if self.known else []
        return vertex.ListModelsResponse.serialize(vertex.ListModelsResponse(models=models))

    def UploadModel(self, data, context):  # noqa: N802
        self.requests.append(vertex.UploadModelRequest.deserialize(data))
        done = vertex.UploadModelResponse(model="projects/p/locations/r/models/3", model_version_id="2")
        packed = any_pb2.Any()
        packed.Pack(vertex.UploadModelResponse.pb(done))
        return operations_pb2.Operation(name="o", done=True, response=packed).SerializeToString()


@contextlib.contextmanager
def serving(*states, **how) -> Iterator[tuple[Service, dict]]:
    service = Service(list(states), **how)
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield service, {"endpoint": f"http://127.0.0.1:{port}", "poll_seconds": 0.01}
        server.stop(0).wait(10)


def test_a_job_runs_to_its_end_and_its_model_is_registered():
    state = vertex.JobState
    states = (state.JOB_STATE_PENDING, None, state.JOB_STATE_RUNNING, state.JOB_STATE_SUCCEEDED)
    said = []
    with serving(*states, known=True) as (service, where):
        settings = made(**where, replicas=3, accelerator_type="NVIDIA_L4", spot=True, register_as="wals")
        name = jobs.run(settings, True, said.append)
        assert jobs.register(settings) == "projects/p/locations/r/models/3@2"
    assert name == "projects/PROJECT/locations/REGION/customJobs/7"
    assert said[1:] == ["pending", "running", "succeeded"]
    submitted, uploaded = service.requests
    chief, workers = submitted.custom_job.job_spec.worker_pool_specs
    assert (chief.replica_count, workers.replica_count) == (1, 2)
    assert chief.machine_spec.accelerator_type.name == "NVIDIA_L4" and chief.machine_spec.accelerator_count == 1
    assert submitted.custom_job.job_spec.scheduling.strategy.name == "SPOT"
    assert submitted.custom_job.job_spec.service_account.startswith("wals-worker@")
    assert "--replace" in chief.container_spec.args
    assert uploaded.parent_model == "projects/p/locations/r/models/3"  # a new version of it
    assert uploaded.model.artifact_uri == "gs://BUCKET/wals/model/saved_model"


def test_the_arguments_give_the_trainer_the_same_settings():
    """Read back as the trainer reads them, from an empty config."""
    settings = made()
    flags = jobs.arguments(settings, replace=False)
    code = (
        "import sys, json; from configs import cli\n"
        "parser = cli.parser('x', 'x')\n"
        "flags = {'dataset_dir': ('dataset_dir', 'D', ''), 'model_dir': ('model_dir', 'D', '')}\n"
        "cli.add_flags(parser, flags, 'x')\n"
        "found = cli.settings_with(parser.parse_args(), flags)\n"
        "print(found.model_dump_json(include={'training', 'cold_start', 'dataset_dir', 'model_dir'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, cwd=ROOT, check=True)
    wanted = settings.model_dump(mode="json", include={"training", "cold_start", "dataset_dir", "model_dir"})
    assert json.loads(done.stdout) == wanted


@pytest.mark.parametrize(
    ("states", "how", "said"),
    [
        ([vertex.JobState.JOB_STATE_FAILED], {}, r"ended as failed \(out of memory\); see its log: gcloud"),
        ([vertex.JobState.JOB_STATE_CANCELLED], {}, "ended as cancelled"),
        ([], {"refuse": grpc.StatusCode.PERMISSION_DENIED}, r"no permission \(refused\); docs/permissions.md"),
        ([], {"refuse": grpc.StatusCode.RESOURCE_EXHAUSTED}, "a quota is used up"),
        ([], {"refuse": grpc.StatusCode.UNAVAILABLE}, "the service is failing .* run it again later"),
        ([], {"refuse": grpc.StatusCode.NOT_FOUND}, "check the names, cloud.project above all"),
        ([], {"refuse": grpc.StatusCode.INVALID_ARGUMENT}, "Vertex AI: refused"),
    ],
)
def test_what_goes_wrong_is_one_line(states, how, said):
    with serving(*states, **how) as (_, where), pytest.raises(UserError, match=said) as raised:
        jobs.run(made(**where), False, lambda text: None)
    assert "\n" not in str(raised.value)


def test_a_dry_run_prints_a_job_that_the_service_could_parse(capsys):
    train.main(["--config", GCP, "--dry_run", "--set", "vertex.register_as=wals", "--set", "cloud.kms_key=k"])
    shown = json.loads(capsys.readouterr().out)
    parsed = vertex.CustomJob.from_json(json.dumps(shown["customJob"]))
    assert parsed.encryption_spec.kms_key_name == "k" and parsed.labels["component"] == "recommender"
    json_format.ParseDict(shown["model"], vertex.Model.pb(vertex.Model()))
    train.main(["--config", str(ROOT / "configs" / "local.yaml"), "--dry_run"])
    assert "-m trainer.task --config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"cloud.region": ""}, "Vertex AI needs cloud.region"),
        ({"model_dir": "data/model"}, "can only use gs://"),
    ],
)
def test_what_a_job_lacks_is_said_before_it_is_submitted(overrides, said):
    with pytest.raises(UserError, match=said):
        jobs.check(load_settings(GCP, overrides))
