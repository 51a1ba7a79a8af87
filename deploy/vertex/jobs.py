"""The trainer as a custom job of Vertex AI: its specification, submitting it, watching it, registering its model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from google.api_core import exceptions, retry
from google.cloud import aiplatform_v1 as vertex
from google.protobuf import json_format

from artifacts.paths import Model
from artifacts.storage.google_cloud import explained, vertex_client
from configs.errors import UserError
from configs.settings import Settings

_ENDED = ("succeeded", "failed", "cancelled", "expired")
_TRANSIENT = (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.InternalServerError)
_MAX_FAILURES = 20  # polls that may fail in a row before a job is not watched any more


def check(settings: Settings) -> None:
    """Raise UserError for the first setting that a job needs and that is missing or wrong."""
    needed = {
        "cloud.project": settings.cloud.project,
        "cloud.region": settings.cloud.region,
        "cloud.temp_location": settings.cloud.temp_location,
        "vertex.image": settings.vertex.image,
        "dataset_dir": settings.dataset_dir,
        "model_dir": settings.model_dir,
    }
    for name, value in needed.items():
        if not value:
            raise UserError(f"Vertex AI needs {name}; see configs/gcp.yaml for an example")
    for name in ("dataset_dir", "model_dir"):
        if not str(needed[name]).startswith("gs://"):
            raise UserError(f"{name} {needed[name]}: machines of Vertex AI can only use gs://; name a gs:// directory")


def arguments(settings: Settings, replace: bool) -> list[str]:
    """Return flags of trainer.task that stand for the settings, so that the machine needs no config file."""
    flags = ["--config", "/dev/null"]
    flags += ["--dataset_dir", str(settings.dataset_dir), "--model_dir", str(settings.model_dir)]
    changed = settings.model_dump(include={"training", "cold_start"}, exclude_defaults=True)
    for section, values in changed.items():
        for name, value in values.items():
            flags += ["--set", f"{section}.{name}={json.dumps(value)}"]
    return [*flags, "--replace"] if replace else flags


def custom_job(settings: Settings, replace: bool) -> dict[str, Any]:
    """Return the fields of `vertex.CustomJob`."""
    cloud, options = settings.cloud, settings.vertex
    spec: dict[str, Any] = {
        "worker_pool_specs": _worker_pools(settings, replace),
        "scheduling": {"timeout": {"seconds": round(options.timeout_hours * 3600)}},
        "base_output_directory": {"output_uri_prefix": cloud.temp_location},
        "service_account": cloud.service_account or "",
        "network": cloud.network or "",
    }
    if options.spot:
        spec["scheduling"]["strategy"] = "SPOT"
    name = f"wals-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    return {"display_name": name, "job_spec": spec, "labels": dict(cloud.labels)} | _encryption(settings)


def _worker_pools(settings: Settings, replace: bool) -> list[dict[str, Any]]:
    """Return the pool of the chief, and that of the other machines if there are any."""
    options = settings.vertex
    machine: dict[str, Any] = {"machine_type": options.machine_type}
    if options.accelerator_type:
        machine |= {"accelerator_type": options.accelerator_type, "accelerator_count": options.accelerator_count}
    container = {
        "image_uri": options.image,
        "command": ["python", "-m", "trainer.task"],
        "args": arguments(settings, replace),
    }
    disk = {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": options.disk_gb}
    pool = {"machine_spec": machine, "disk_spec": disk, "container_spec": container}
    counts = [1, options.replicas - 1] if options.replicas > 1 else [1]
    return [pool | {"replica_count": count} for count in counts]


def model(settings: Settings) -> dict[str, Any]:
    """Return the fields of `vertex.Model`: the SavedModel, and the image that serves it."""
    return {
        "display_name": settings.vertex.register_as,
        "artifact_uri": Model(str(settings.model_dir).rstrip("/")).saved_model,
        "container_spec": {"image_uri": settings.vertex.serving_image},
        "labels": dict(settings.cloud.labels),
    } | _encryption(settings)


def _encryption(settings: Settings) -> dict[str, Any]:
    key = settings.cloud.kms_key
    return {"encryption_spec": {"kms_key_name": key}} if key else {}


def describe(settings: Settings, replace: bool) -> dict[str, Any]:
    """Return the job, and the model that would be registered, as the JSON of the service."""
    parts: dict[str, Any] = {"customJob": vertex.CustomJob(custom_job(settings, replace))}
    if settings.vertex.register_as:
        parts["model"] = vertex.Model(model(settings))
    return {name: json_format.MessageToDict(type(part).pb(part)) for name, part in parts.items()}


def run(settings: Settings, replace: bool, say: Callable[[str], None]) -> str:
    """Submit the job, wait for its end, and return its name; raise UserError if it does not succeed."""
    with explained("Vertex AI"):
        client = vertex_client(vertex.JobServiceClient, settings.vertex.endpoint, settings.cloud.region or "")
        # Repeated only after errors that say the job was not created: two jobs would cost more than none.
        repeat = retry.Retry(
            retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.TooManyRequests),
            initial=settings.vertex.poll_seconds / 4,
            timeout=20 * settings.vertex.poll_seconds,
        )
        job = vertex.CustomJob(custom_job(settings, replace))
        name = client.create_custom_job(parent=_parent(settings), custom_job=job, retry=repeat).name
    say(f"submitted {name}; follow it with: gcloud ai custom-jobs stream-logs {name}")
    _wait(client, name, settings.vertex.poll_seconds, say)
    return name


def _wait(client: Any, name: str, poll_seconds: float, say: Callable[[str], None]) -> None:
    """Watch a job and show each new state; raise UserError unless it succeeds."""
    transient, timeout = retry.if_exception_type(*_TRANSIENT), _MAX_FAILURES * poll_seconds
    repeat = retry.Retry(transient, initial=poll_seconds, multiplier=1, timeout=timeout)
    state = None
    while state not in _ENDED:
        if state is not None:
            time.sleep(poll_seconds)
        try:
            job = client.get_custom_job(name=name, retry=repeat)
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            raise UserError(f"{name} cannot be watched ({error.message}); it may still be running") from error
        before, state = state, job.state.name.removeprefix("JOB_STATE_").lower()
        if state != before:
            say(state)
    if state != "succeeded":
        reason = job.error.message or "without a reason"
        log = f"gcloud ai custom-jobs stream-logs {name}"
        raise UserError(f"{name} ended as {state} ({reason}); see its log: {log}")


def register(settings: Settings) -> str:
    """Register the trained model, as a new version if its name is known, and return its resource name."""
    with explained("Vertex AI's Model Registry"):
        client = vertex_client(vertex.ModelServiceClient, settings.vertex.endpoint, settings.cloud.region or "")
        parent = _parent(settings)
        request: dict[str, Any] = {"parent": parent, "model": model(settings)}
        same_name = f'display_name="{settings.vertex.register_as}"'
        known = next(iter(client.list_models(request={"parent": parent, "filter": same_name})), None)
        if known is not None:
            request["parent_model"] = known.name
        done = client.upload_model(request=request).result(timeout=1800)
    return f"{done.model}@{done.model_version_id}"


def _parent(settings: Settings) -> str:
    return f"projects/{settings.cloud.project}/locations/{settings.cloud.region}"
