"""Servers for the test of the DAG in place of Vertex AI, Dataflow and a mail server; without Airflow."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.cloud import aiplatform_v1 as vertex

from tests.support import http_server

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("WALS_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
PROJECT, REGION = "test-project", "europe-west1"


class VertexAI(grpc.GenericRpcHandler):
    """Vertex AI's custom jobs: each job's command is run here. `lost`: display names of jobs whose machine dies."""

    def __init__(self):
        self.jobs: dict[str, vertex.CustomJob] = {}
        self.running: dict[str, subprocess.Popen] = {}
        self.lost: set[str] = set()

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        return grpc.unary_unary_rpc_method_handler(lambda data, context: getattr(self, name)(data))

    def CreateCustomJob(self, data):  # noqa: N802 - the protocol's
        request = vertex.CreateCustomJobRequest.deserialize(data)
        job, name = request.custom_job, f"{request.parent}/customJobs/{len(self.jobs) + 1}"
        container = job.job_spec.worker_pool_specs[0].container_spec
        job.name = name
        self.jobs[name] = job
        if job.display_name not in self.lost:
            command = [PYTHON, *container.command[1:], *container.args]
            self.running[name] = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        return vertex.CustomJob.serialize(job)

    def GetCustomJob(self, data):  # noqa: N802
        name = vertex.GetCustomJobRequest.deserialize(data).name
        job, process = self.jobs[name], self.running.get(name)
        if process is None:
            job.state, job.error = vertex.JobState.JOB_STATE_FAILED, {"code": 13, "message": "the machine was lost"}
            return vertex.CustomJob.serialize(job)
        try:
            said, _ = process.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:
            job.state = vertex.JobState.JOB_STATE_RUNNING
        else:
            print(said)
            job.state = vertex.JobState.JOB_STATE_FAILED if process.returncode else vertex.JobState.JOB_STATE_SUCCEEDED
            if process.returncode:
                job.error = {"code": 3, "message": f"exited with status {process.returncode}"}
        return vertex.CustomJob.serialize(job)


@contextlib.contextmanager
def dataflow_jobs(jobs: list[dict]) -> Iterator[str]:
    """Serve Dataflow's list of jobs, which can be cancelled, and yield the address."""

    class Handler(http_server.Handler):
        def named(self) -> dict | None:
            last = self.path.partition("?")[0].rpartition("/")[2]
            return next((job for job in jobs if job["id"] == last), None)

        def do_GET(self) -> None:  # noqa: N802
            assert self.path.startswith(f"/v1b3/projects/{PROJECT}/locations/{REGION}/jobs"), self.path
            self.answer(200, json.dumps(self.named() or {"jobs": jobs}).encode())

        def do_PUT(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            job = self.named()
            job["currentState"] = body["requestedState"]
            self.answer(200, json.dumps(job).encode())

    with http_server.serving(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}"


class Mails:
    def __init__(self):
        self.subjects: list[str] = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's
        lines = envelope.content.decode().splitlines()
        self.subjects += [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]
        return "250 OK"
