"""The trainer as a custom job of Vertex AI: its specification, submitting it, waiting for it, registering its model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from google.api_core import exceptions, retry
from google.cloud import aiplatform_v1 as vertex
from google.protobuf import json_format

from artifacts.google_cloud import explained, vertex_client
from artifacts.paths import Model
from configs.errors import UserError
from configs.settings import Settings

_DEFAULTS = Settings()
_DONE = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
_TRANSIENT = (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.InternalServerError)


def check(settings: Settings) -> None:
    """Looks whether the settings say all that a job needs.

    Raises:
        UserError: the first that is missing.
    """
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
            raise UserError(f"Vertex AI needs {name}; configs/gcp.yaml shows where it stands")
    for name in ("dataset_dir", "model_dir"):
        if not str(needed[name]).startswith("gs://"):
            raise UserError(f"{name} {needed[name]}: machines of Vertex AI reach gs:// alone")


def arguments(settings: Settings, replace: bool) -> list[str]:
    """The flags of trainer.task that stand for the settings: it needs no config of its own."""
    flags = [
        "--config",
        "/dev/null",
        "--dataset_dir",
        str(settings.dataset_dir),
        "--model_dir",
        str(settings.model_dir),
    ]
    for section in ("training", "cold_start"):
        ours, plain = getattr(settings, section), getattr(_DEFAULTS, section)
        for name in type(ours).model_fields:
            value = getattr(ours, name)
            if value != getattr(plain, name):
                flags += ["--set", f"{section}.{name}={json.dumps(value)}"]
    return [*flags, "--replace"] if replace else flags


def job(settings: Settings, replace: bool) -> dict[str, Any]:
    """The custom job, as `vertex.CustomJob` takes it."""
    cloud, own = settings.cloud, settings.vertex
    machine: dict[str, Any] = {"machine_type": own.machine_type}
    if own.accelerator_type:
        machine |= {"accelerator_type": own.accelerator_type, "accelerator_count": own.accelerator_count}
    pool = {
        "machine_spec": machine,
        "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": own.disk_gb},
        "container_spec": {
            "image_uri": own.image,
            "command": ["python", "-m", "trainer.task"],
            "args": arguments(settings, replace),
        },
    }
    pools = [pool | {"replica_count": 1}]
    if own.replicas > 1:
        pools.append(pool | {"replica_count": own.replicas - 1})
    spec: dict[str, Any] = {
        "worker_pool_specs": pools,
        "scheduling": {"timeout": {"seconds": round(own.timeout_hours * 3600)}},
        "base_output_directory": {"output_uri_prefix": cloud.temp_location},
    }
    if own.spot:
        spec["scheduling"]["strategy"] = "SPOT"
    if cloud.service_account:
        spec["service_account"] = cloud.service_account
    if cloud.network:
        spec["network"] = cloud.network
    made = {"display_name": f"wals-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}", "job_spec": spec}
    made["labels"] = dict(cloud.labels)
    return made | ({"encryption_spec": {"kms_key_name": cloud.kms_key}} if cloud.kms_key else {})


def model(settings: Settings) -> dict[str, Any]:
    """The model to register: the SavedModel, and the image that serves it."""
    cloud, own = settings.cloud, settings.vertex
    made: dict[str, Any] = {
        "display_name": own.register_as,
        "artifact_uri": Model(str(settings.model_dir).rstrip("/")).saved_model,
        "container_spec": {"image_uri": own.serving_image},
        "labels": dict(cloud.labels),
    }
    return made | ({"encryption_spec": {"kms_key_name": cloud.kms_key}} if cloud.kms_key else {})


def shown(settings: Settings, replace: bool) -> dict[str, Any]:
    """The job, and the model that would be registered, as the service's JSON spells them."""
    parts: dict[str, Any] = {"customJob": vertex.CustomJob(job(settings, replace))}
    if settings.vertex.register_as:
        parts["model"] = vertex.Model(model(settings))
    return {name: json_format.MessageToDict(type(part).pb(part)) for name, part in parts.items()}


def run(settings: Settings, replace: bool, say: Callable[[str], None]) -> str:
    """Submits the job and waits for its end; gives its name.

    Raises:
        UserError: it was not accepted, or did not succeed.
    """
    made = vertex.CustomJob(job(settings, replace))
    with explained("Vertex AI"):
        client = _client(settings, vertex.JobServiceClient)
        # Tried again only where the service says that it did not take it up: two jobs would be dearer than none.
        tries = retry.Retry(
            retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.TooManyRequests),
            initial=settings.vertex.poll_seconds / 4,
            timeout=20 * settings.vertex.poll_seconds,
        )
        name = client.create_custom_job(parent=_parent(settings), custom_job=made, retry=tries).name
    say(f"submitted {name}; follow it with: gcloud ai custom-jobs stream-logs {name}")
    state, failing = None, 0
    while True:
        try:
            found = client.get_custom_job(name=name)
            failing = 0
        except _TRANSIENT as error:
            failing += 1
            if failing > 20:
                raise UserError(f"{name} cannot be watched ({error.message}); it may still be running") from error
            time.sleep(settings.vertex.poll_seconds)
            continue
        except exceptions.GoogleAPICallError as error:
            raise UserError(f"{name} cannot be watched ({error.message}); it may still be running") from error
        if found.state.name != state:
            state = found.state.name
            say(state.removeprefix("JOB_STATE_").lower())
        if state == "JOB_STATE_SUCCEEDED":
            return name
        if state in _DONE:
            how, why = state.removeprefix("JOB_STATE_").lower(), found.error.message or "no reason given"
            raise UserError(f"{name} ended as {how} ({why}); its log: gcloud ai custom-jobs stream-logs {name}")
        time.sleep(settings.vertex.poll_seconds)


def register(settings: Settings) -> str:
    """Registers the trained model, as a new version where the name is known; gives its resource name.

    Raises:
        UserError: it was not accepted.
    """
    with explained("Vertex AI's Model Registry"):
        client = _client(settings, vertex.ModelServiceClient)
        parent = _parent(settings)
        request: dict[str, Any] = {"parent": parent, "model": model(settings)}
        wanted = f'display_name="{settings.vertex.register_as}"'
        known = next(iter(client.list_models(request={"parent": parent, "filter": wanted})), None)
        if known is not None:
            request["parent_model"] = known.name
        done = client.upload_model(request=request).result(timeout=1800)
    return f"{done.model}@{done.model_version_id}"


def _parent(settings: Settings) -> str:
    return f"projects/{settings.cloud.project}/locations/{settings.cloud.region}"


def _client(settings: Settings, kind: Any) -> Any:
    return vertex_client(kind, settings.vertex.endpoint, settings.cloud.region or "")
