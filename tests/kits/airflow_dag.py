"""The DAG in Airflow's own harness: imported, rendered, and run night by night: `make airflow-test`.

The operators talk to BigQuery's emulator, to a server with Vertex AI's protocol that runs each job's command for real,
and to one with Dataflow's. Runs in Airflow's environment; the jobs and the emulator in the project's own (WALS_PYTHON).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

from tests.support.airflow_services import PROJECT, PYTHON, REGION, ROOT, Mails, VertexAI, dataflow_jobs

DAG = ROOT / "deploy" / "airflow" / "wals_nightly.py"
SCRATCH = Path(tempfile.mkdtemp(prefix="wals-airflow-"))
ANONYMOUS = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": PROJECT}}
os.environ |= {  # Airflow reads them when it is imported
    "AIRFLOW_HOME": str(SCRATCH / "home"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # the provider's modules alone take half a minute of a busy machine
    "AIRFLOW__CORE__DAGS_FOLDER": str(SCRATCH / "dags"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(ANONYMOUS),
}

import grpc  # noqa: E402
import pytest  # noqa: E402
from aiosmtpd.controller import Controller  # noqa: E402
from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.providers.google.cloud.hooks import bigquery, dataflow  # noqa: E402
from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobAsyncHook, CustomJobHook  # noqa: E402
from airflow.serialization.serialized_objects import DagSerialization  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from google.api_core.client_options import ClientOptions  # noqa: E402
from google.cloud import aiplatform_v1 as vertex  # noqa: E402

DAYS = ["2024-01-05", "2024-01-06", "2024-01-07"]
_BIGQUERY = """
import sys
from pathlib import Path
from pipeline.sample import main as sample
from tests.support import samples
from tests.support.bigquery_server import SCHEMAS, serving
root = Path(sys.argv[1])
sample(["--output_dir", str(root / "export"), *"--visitors 120 --items 50 --days 7 --layouts ga4".split()])
files = sorted((root / "export" / "ga4").iterdir())
with serving(root / "bucket") as server:
    def load(path):
        rows = samples.lines(path.parent, path.name)
        server.load("analytics", path.name.partition(".")[0], SCHEMAS["ga4"], rows)
    for path in files[:-1]:
        load(path)
    print("serving", server.rest, server.storage, flush=True)
    sys.stdin.readline()
    load(files[-1])
    print("loaded", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def scratch() -> Iterator[None]:
    (SCRATCH / "dags").mkdir()
    initdb()
    yield
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(scope="module")
def mails() -> Iterator[Mails]:
    found = Mails()
    controller = Controller(found, hostname="127.0.0.1", port=0)
    with contextlib.suppress(OSError):  # it tries to reach port 0 to see itself started
        controller.start()
    port = controller.server.sockets[0].getsockname()[1]
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port}
    connection["extra"] = {"disable_ssl": True, "disable_tls": True}
    os.environ["AIRFLOW_CONN_SMTP_DEFAULT"] = json.dumps(connection)
    yield found
    controller.stop(no_assert=True)


def load(**own) -> DagBag:
    """Return the DAG as Airflow finds it, with its own settings."""
    shutil.copy(DAG, SCRATCH / "dags")
    tree = {
        "project": PROJECT,
        "region": REGION,
        "table": f"{PROJECT}.analytics.events_",
        "config": str(SCRATCH / "nights.yaml"),
        "image": "worker:1",
        "service_account": "wals-worker@site.iam.gserviceaccount.com",
        "machine_type": "e2-standard-4",
        "refit": False,
        "step_hours": 1,
        "schedule": "0 6 * * *",
        "start_date": "2024-01-01",
        "catch_up_days": 3,
        "table_hours": 1,
        "deadline_hours": 12,
        "alert_email": "team@site.example",
        "poll_seconds": 1,
    }
    (SCRATCH / "dags" / "wals_nightly.yaml").write_text(json.dumps(tree | own))
    bag = DagBag(dag_folder=str(SCRATCH / "dags"))
    assert not bag.import_errors, bag.import_errors
    return bag


def test_it_imports_as_shipped():
    """With the settings of the repository as they are, capital words and all."""
    shutil.copy(DAG, SCRATCH / "dags")
    shutil.copy(DAG.with_suffix(".yaml"), SCRATCH / "dags")
    bag = DagBag(dag_folder=str(SCRATCH / "dags"))
    assert not bag.import_errors and list(bag.dags) == ["wals_nightly"]
    dag = bag.dags["wals_nightly"]
    dag.validate()
    again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    order = ["recent", "wait_for_table", "check_table", "preprocess", "train", "evaluate", "predict", "promote"]
    for before, after in zip(order, order[1:], strict=False):
        assert after in again.get_task(before).downstream_task_ids
    assert again.max_active_runs == 1


def rendered(dag, task: str, params: dict, end: datetime.datetime):
    """Return the task as it runs for an interval that ends then."""
    from airflow.sdk import macros

    found = dag.get_task(task).prepare_for_execution()
    context = {"params": params, "data_interval_end": end, "macros": macros, "ds": "unused"}
    found.render_template_fields(context, jinja_env=dag.get_template_env())
    return found


def test_it_renders_the_day_before_and_the_day_asked_for():
    dag = load().dags["wals_nightly"]
    end = datetime.datetime(2024, 2, 1, 6, tzinfo=datetime.UTC)
    job = vertex.CustomJob(rendered(dag, "preprocess", {"date": None}, end).custom_job)  # the service's own type
    pool = job.job_spec.worker_pool_specs[0]
    assert job.display_name == "wals-20240131-preprocess" and pool.container_spec.image_uri == "worker:1"
    flags = ["--date", "2024-01-31", "--only", "preprocess", "--set", "beam.job_name=wals-20240131-preprocess"]
    assert list(pool.container_spec.args)[2:] == flags
    assert rendered(dag, "wait_for_table", {"date": "2024-01-02"}, end).table_id == "events_20240102"
    assert "events_20240102`" in rendered(dag, "check_table", {"date": "2024-01-02"}, end).sql
    assert rendered(dag, "stop_dataflow", {"date": "2024-01-02"}, end).job_name == "wals-20240102-"
    with_refit = load(refit=True).dags["wals_nightly"]
    assert with_refit.get_task("refit").upstream_task_ids == {"refit_preprocess"}
    assert "refit_preprocess" in with_refit.get_task("stop_dataflow").upstream_task_ids
    train = rendered(dag, "train", {"date": "2024-01-02"}, end).custom_job
    assert train["job_spec"]["worker_pool_specs"][0]["container_spec"]["args"][-1] == "train"


def test_catching_up_is_bounded():
    recent = load().dags["wals_nightly"].get_task("recent").python_callable
    now = datetime.datetime.now(datetime.UTC)

    class Run:
        run_type = "scheduled"

    assert recent(now, Run) and recent(now - datetime.timedelta(days=3.9), Run)
    assert not recent(now - datetime.timedelta(days=4.1), Run)
    Run.run_type = "manual"
    assert recent(now - datetime.timedelta(days=400), Run)


def test_a_late_night_is_told_of(mails):
    (alert,) = load().dags["wals_nightly"].deadline
    assert alert.interval == datetime.timedelta(hours=12)
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    assert alert.callback.path == f"{SmtpNotifier.__module__}.SmtpNotifier"
    asyncio.run(SmtpNotifier(**alert.callback.kwargs).async_notify({}))
    assert mails.subjects.pop() == "wals_nightly is not done after 12 h"


@pytest.fixture(scope="module")
def tables() -> Iterator[subprocess.Popen]:
    """BigQuery's emulator with the sample's days but the last, which a line to its standard input adds."""
    command = [PYTHON, "-c", _BIGQUERY, str(SCRATCH)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = next(line for line in process.stdout if line.startswith("serving"))
    _, process.rest, process.storage = line.split()  # type: ignore[attr-defined]
    yield process
    process.stdin.close()
    process.wait(30)


@pytest.fixture(scope="module")
def service() -> Iterator[VertexAI]:
    found = VertexAI()
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([found])
        found.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield found
        server.stop(0).wait(10)


@pytest.fixture
def jobs() -> list[dict]:
    """Dataflow's."""
    return []


@pytest.fixture
def emulators(tables, service, mails, jobs, monkeypatch):
    """The hooks' clients, led to the emulators; nothing else of Airflow's or the provider's is changed."""
    with dataflow_jobs(jobs) as address:

        def options(endpoint: str):
            return lambda self, api_endpoint_override=None: ClientOptions(api_endpoint=endpoint)

        def client(kind, channel, transport):
            return kind(transport=kind.get_transport_class(transport)(channel=channel(service.address)))

        async def async_client(self, region=None):
            return client(vertex.JobServiceAsyncClient, grpc.aio.insecure_channel, "grpc_asyncio")

        def sync_client(self, region=None):
            return client(vertex.JobServiceClient, grpc.insecure_channel, "grpc")

        monkeypatch.setattr(bigquery.BigQueryHook, "get_client_options", options(tables.rest))
        monkeypatch.setattr(dataflow.DataflowHook, "get_client_options", options(address))
        monkeypatch.setattr(CustomJobHook, "get_job_service_client", sync_client)
        monkeypatch.setattr(CustomJobAsyncHook, "get_job_service_client", async_client)
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", tables.rest.removeprefix("http://"))
        configure(tables)
        yield service


def configure(tables, **nightly) -> None:
    """Write the config of the nights: what a site has in gs://, here on the disk."""
    own = {"project": PROJECT, "endpoint": tables.rest, "storage_endpoint": tables.storage}
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.analytics.events_*", "window_days": 4}
    tree = {
        "source": source,
        "bigquery": own,
        "split": {"kind": "last_n"},
        "training": {"embedding_dimension": 8, "max_sweeps": 6},
        "evaluation": {"k": [20], "baselines": ["popularity"], "resamples": 100},
        "prediction": {"formats": ["text"]},
        "nightly": {"directory": str(SCRATCH / "nights"), "beats": [], "require": ["recall@20>=0.05"]} | nightly,
        "beam": {"runner": "FnApiRunner"},
    }
    (SCRATCH / "nights.yaml").write_text(json.dumps(tree))


def run(day: str) -> tuple[str, dict[str, str]]:
    """Run the DAG for a day by Airflow's `dag.test`; return its state, and each task's."""
    dag = load().dags["wals_nightly"]
    for task in dag.tasks:
        task.retries = 0
    dag.deadline = None  # dag.test looks its alerts up in the database, by ids that its own copy of the DAG lacks
    morning = datetime.datetime.fromisoformat(day) + datetime.timedelta(days=1, hours=6)
    found = dag.test(logical_date=morning.replace(tzinfo=datetime.UTC))
    return found.state, {instance.task_id: str(instance.state) for instance in found.get_task_instances()}


def live() -> str:
    alias = json.loads((SCRATCH / "nights" / "live.json").read_text())
    return f"{alias['live']['date']}.{alias['live']['attempt']}"


STEPS = ["preprocess", "train", "evaluate", "predict", "promote"]


def test_a_night_goes_live_and_again_changes_nothing(emulators):
    state, tasks = run(DAYS[0])
    assert state == "success" and all(tasks[step] == "success" for step in STEPS), tasks
    assert live() == f"{DAYS[0]}.1" and tasks["stop_dataflow"] == "skipped"
    made = {path: path.stat().st_mtime_ns for path in (SCRATCH / "nights" / "runs").rglob("*-of-*")}
    state, tasks = run(DAYS[0])
    assert state == "success" and live() == f"{DAYS[0]}.1"
    assert made and made == {path: path.stat().st_mtime_ns for path in (SCRATCH / "nights" / "runs").rglob("*-of-*")}


def test_a_gate_that_fails_keeps_the_old_model_and_mails(emulators, tables, mails):
    configure(tables, require=["recall@20>=0.99"])
    mails.subjects.clear()
    state, tasks = run(DAYS[1])
    assert state == "failed" and tasks["evaluate"] == "failed"
    assert tasks["predict"] == tasks["promote"] == "upstream_failed" and live() == f"{DAYS[0]}.1"
    assert mails.subjects == ["wals_nightly: evaluate failed"]
    configure(tables)
    state, tasks = run(DAYS[1])
    assert state == "success" and live() == f"{DAYS[1]}.1", "cleared, it goes on where it was"


def test_a_table_that_comes_late_and_a_launcher_that_is_lost(emulators, tables, jobs):
    late = threading.Timer(5, lambda: (tables.stdin.write("\n"), tables.stdin.flush()))
    late.start()
    emulators.lost.add("wals-20240107-predict")
    jobs += [
        {"id": str(number), "name": name, "currentState": state, "type": "JOB_TYPE_BATCH"}
        for number, (name, state) in enumerate(
            [
                ("wals-20240107-predict", "JOB_STATE_RUNNING"),
                ("wals-20240107-preprocess", "JOB_STATE_DONE"),
                ("another", "JOB_STATE_RUNNING"),
            ]
        )
    ]
    state, tasks = run(DAYS[2])
    late.join()
    assert state == "failed" and tasks["wait_for_table"] == tasks["evaluate"] == "success", tasks
    assert tasks["predict"] == "failed" and tasks["stop_dataflow"] == "success" and live() == f"{DAYS[1]}.1"
    assert [job["currentState"] for job in jobs] == ["JOB_STATE_CANCELLED", "JOB_STATE_DONE", "JOB_STATE_RUNNING"]
    emulators.lost.clear()
    assert run(DAYS[2])[0] == "success" and live() == f"{DAYS[2]}.1"
