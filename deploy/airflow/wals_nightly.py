"""The nightly job as a DAG for Airflow 3 and Cloud Composer 3: wait for the table, run the steps in order, go live.

Each step is a custom job of Vertex AI that runs `wals night --only STEP` in the worker image. That command
submits to Dataflow, trains on the machines of the config, and keeps the record of the night. A task may run again at
any time: a step that is done is skipped. Copy this file and wals_nightly.yaml into the DAGs folder; the DAG needs no
other file of this project.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.google.cloud.operators.bigquery import BigQueryCheckOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStopJobOperator
from airflow.providers.google.cloud.operators.vertex_ai.custom_job import CreateCustomJobOperator
from airflow.providers.google.cloud.sensors.bigquery import BigQueryTableExistenceSensor
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

CONFIG: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("wals_nightly.yaml").read_text(encoding="utf-8"))
PROJECT, REGION, POLL = CONFIG["project"], CONFIG["region"], CONFIG["poll_seconds"]
REFIT = ("refit_preprocess", "refit") if CONFIG["refit"] else ()
OUTCOME = ("outcome",) if CONFIG["outcome"] else ()
STEPS = ("preprocess", *OUTCOME, "train", "evaluate", *REFIT, "predict", "promote")
ON_DATAFLOW = ("preprocess", "outcome", "refit_preprocess", "predict")

_DATE = "(params.date or (data_interval_end - macros.timedelta(days=1)) | ds)"
DATE = f"{{{{ {_DATE} }}}}"
DAY = f"{{{{ {_DATE} | replace('-', '') }}}}"
TABLE = [*CONFIG["table"].split(".")[:2], CONFIG["table"].split(".")[2] + DAY]


class StopDataflow(DataflowStopJobOperator):
    """The provider's operator, with a job name that may be a template."""

    template_fields = (*DataflowStopJobOperator.template_fields, "job_name")


def mail(subject: str) -> dict[str, Any]:
    """Return the arguments of a mail."""
    text = f"{subject}. The live version has not changed. wals status shows the nights."
    return {"to": CONFIG["alert_email"], "from_email": CONFIG["alert_email"], "subject": subject, "html_content": text}


def custom_job(step: str) -> dict[str, Any]:
    """Return the custom job of Vertex AI that runs a step."""
    name = f"wals-{DAY}-{step.replace('_', '-')}"
    flags = ["--config", CONFIG["config"], "--date", DATE, "--only", step]
    if step in ON_DATAFLOW:  # Dataflow runs one job of a name at a time, so a retry cannot run next to an orphan
        flags += ["--set", f"beam.job_name={name}"]
    container = {"image_uri": CONFIG["image"], "command": ["python", "-m", "nightly.run"], "args": flags}
    machine = {"machine_type": CONFIG["machine_type"]}
    spec: dict[str, Any] = {
        "worker_pool_specs": [{"machine_spec": machine, "replica_count": 1, "container_spec": container}],
        "scheduling": {"timeout": {"seconds": 3600 * CONFIG["step_hours"]}},
    }
    if CONFIG["service_account"]:
        spec["service_account"] = CONFIG["service_account"]
    return {"display_name": name, "job_spec": spec, "labels": {"component": "recommender"}}


@task.short_circuit
def recent(data_interval_end: datetime.datetime | None = None, dag_run: Any = None) -> bool:
    """Return whether a missed night is still to be run: recent ones are, and those that a user triggers always."""
    age = datetime.datetime.now(datetime.UTC) - data_interval_end
    return dag_run.run_type == "manual" or age < datetime.timedelta(days=CONFIG["catch_up_days"] + 1)


def late() -> DeadlineAlert:
    """Return the alert for a night that takes too long."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=datetime.timedelta(hours=CONFIG["deadline_hours"]),
        callback=AsyncCallback(
            SmtpNotifier, kwargs=mail(f"wals_nightly is not done after {CONFIG['deadline_hours']} h")
        ),
    )


with DAG(
    "wals_nightly",
    description="Recommendations from the data up to yesterday: dataset, model, gate, predictions, live",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable(CONFIG["schedule"], timezone="UTC"),
    start_date=datetime.datetime.fromisoformat(CONFIG["start_date"]).replace(tzinfo=datetime.UTC),
    catchup=True,
    max_active_runs=1,
    params={"date": Param(None, type=["null", "string"], format="date", description="Last day of the window")},
    default_args={
        "retries": 2,
        "retry_delay": datetime.timedelta(minutes=10),
        "on_failure_callback": [SmtpNotifier(**mail("wals_nightly: {{ ti.task_id }} failed"))]
        if CONFIG["alert_email"]
        else [],
    },
    deadline=late() if CONFIG["alert_email"] else None,
    tags=["wals"],
) as dag:
    wait = BigQueryTableExistenceSensor(
        task_id="wait_for_table",
        project_id=TABLE[0],
        dataset_id=TABLE[1],
        table_id=TABLE[2],
        deferrable=True,
        poke_interval=POLL,
        timeout=3600 * CONFIG["table_hours"],
        retries=0,
    )
    check = BigQueryCheckOperator(
        task_id="check_table",
        sql=f"SELECT COUNT(*) FROM `{'.'.join(TABLE)}`",  # noqa: S608 - our own setting
        use_legacy_sql=False,
        project_id=PROJECT,
        deferrable=True,
        poll_interval=POLL,
    )
    steps = [
        CreateCustomJobOperator(
            task_id=step,
            project_id=PROJECT,
            region=REGION,
            custom_job=custom_job(step),
            deferrable=True,
            poll_interval=POLL,
        )
        for step in STEPS
    ]
    # A launcher that died leaves its Dataflow job running, at a cost.
    stop = StopDataflow(
        task_id="stop_dataflow",
        project_id=PROJECT,
        location=REGION,
        job_name_prefix=f"wals-{DAY}-",
        drain_pipeline=False,
        poll_sleep=POLL,
        trigger_rule="one_failed",
    )
    recent() >> wait >> check >> steps[0]
    for before, after in zip(steps, steps[1:], strict=False):
        before >> after
    [step for step in steps if step.task_id in ON_DATAFLOW] >> stop
