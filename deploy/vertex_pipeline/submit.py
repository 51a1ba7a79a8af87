"""Run the night on Vertex AI Pipelines, once or on a schedule: python -m deploy.vertex_pipeline.submit --config gs://...

The pipeline is night.yaml. Its containers read the same config, so that is on gs://.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from artifacts import storage
from configs import cli
from configs.errors import UserError
from configs.settings import Settings
from nightly import inputs

PIPELINE = Path(__file__).with_name("night.yaml")
NAME = "wals-night"  # of the pipeline and of its one schedule, which a second command changes
_PAGES = "https://console.cloud.google.com/vertex-ai/pipelines"
_EPILOG = """\
examples:
  python -m deploy.vertex_pipeline.submit --config gs://BUCKET/wals/nightly.yaml --date 2024-01-31 --dry_run
  python -m deploy.vertex_pipeline.submit --config gs://BUCKET/wals/nightly.yaml --date 2024-01-31
  python -m deploy.vertex_pipeline.submit --config gs://BUCKET/wals/nightly.yaml --schedule "0 6 * * *"
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, and submit the run or change the schedule; raise UserError if the service refuses it."""
    parser = cli.parser(
        "python -m deploy.vertex_pipeline.submit", "Run the night on Vertex AI Pipelines.", epilog=_EPILOG
    )
    parser.add_argument("--image", metavar="IMAGE", help="image of the steps (default: dataflow.container_image)")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--date", metavar="DATE", help="last day of the window, e.g. 2024-01-31; default: yesterday")
    when.add_argument("--schedule", metavar="CRON", help='run it every night, e.g. "0 6 * * *" (UTC)')
    parser.add_argument("--dry_run", action="store_true", help="print what would be sent to the service, and stop")
    args = parser.parse_args(argv)
    date = str(inputs.parse_date(args.date)) if args.date else ""
    settings = cli.settings_from(args, {})
    image = args.image or settings.dataflow.container_image
    check(settings, args.config, image)
    job = pipeline_job(settings, args.config, str(image), date)
    if args.dry_run:
        print(json.dumps(describe(settings, job, args.schedule), indent=2))
    elif args.schedule:
        print(put_schedule(settings, schedule(settings, job, args.schedule)))
    else:
        print(submit(settings, job))


def check(settings: Settings, config: str | None, image: str | None) -> None:
    """Raise UserError for the first value that a run needs and that is missing or wrong."""
    if not config or not storage.is_remote(config):
        raise UserError("the steps read the config themselves: copy it to gs://, and pass --config gs://...")
    needed = {
        "cloud.project": settings.cloud.project,
        "cloud.region": settings.cloud.region,
        "cloud.temp_location": settings.cloud.temp_location,
        "dataflow.container_image, or --image": image,
    }
    for name, value in needed.items():
        if not value:
            raise UserError(f"Vertex AI Pipelines needs {name}; see configs/gcp.yaml for an example")
    if not storage.is_remote(settings.nightly.directory):
        raise UserError(f"nightly.directory {settings.nightly.directory}: each step has a disk of its own; name gs://")


def pipeline_job(settings: Settings, config: str, image: str, date: str) -> dict[str, Any]:
    """Return the fields of `aiplatform_v1.PipelineJob`: one run, for a date, or for yesterday if that is empty."""
    spec = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    cloud = settings.cloud
    job = {
        "display_name": f"{NAME}-{date}" if date else NAME,
        "pipeline_spec": spec,
        "runtime_config": {
            "gcs_output_directory": cloud.temp_location,
            "parameter_values": {"config": config, "date": date},
        },
        "service_account": cloud.service_account or "",
        "network": cloud.network or "",
        "labels": dict(cloud.labels),
    }
    return job | ({"encryption_spec": {"kms_key_name": cloud.kms_key}} if cloud.kms_key else {})


def schedule(settings: Settings, job: dict[str, Any], cron: str) -> dict[str, Any]:
    """Return the fields of `aiplatform_v1.Schedule`: one run at a time, none in a queue."""
    return {
        "display_name": NAME,
        "cron": f"TZ=Etc/UTC {cron}",
        "max_concurrent_run_count": 1,
        "create_pipeline_job_request": {"parent": _parent(settings), "pipeline_job": job},
    }


def describe(settings: Settings, job: dict[str, Any], cron: str | None) -> dict[str, Any]:
    """Return the run or the schedule as the JSON of the service."""
    from google.cloud import aiplatform_v1 as vertex
    from google.protobuf import json_format

    message = vertex.Schedule(schedule(settings, job, cron)) if cron else vertex.PipelineJob(job)
    return json_format.MessageToDict(type(message).pb(message))


def submit(settings: Settings, job: dict[str, Any]) -> str:
    """Submit a run, and return a line that names it and its page."""
    from google.cloud import aiplatform_v1 as vertex

    from artifacts.storage.google_cloud import explained

    with explained("Vertex AI Pipelines"):
        client = _client(vertex.PipelineServiceClient, settings)
        name = client.create_pipeline_job(parent=_parent(settings), pipeline_job=vertex.PipelineJob(job)).name
    run, cloud = name.rpartition("/")[2], settings.cloud
    return f"submitted {name}; follow it at {_PAGES}/locations/{cloud.region}/runs/{run}?project={cloud.project}"


def put_schedule(settings: Settings, fields: dict[str, Any]) -> str:
    """Create the schedule, or change the one that is there, and return a line that names it and its page."""
    from google.cloud import aiplatform_v1 as vertex

    from artifacts.storage.google_cloud import explained

    with explained("Vertex AI Pipelines"):
        client, parent = _client(vertex.ScheduleServiceClient, settings), _parent(settings)
        same_name = {"parent": parent, "filter": f'display_name="{NAME}"'}
        known = next(iter(client.list_schedules(request=same_name)), None)
        if known is None:
            name, verb = client.create_schedule(parent=parent, schedule=vertex.Schedule(fields)).name, "created"
        else:
            changed = vertex.Schedule(fields | {"name": known.name})
            mask = {"paths": sorted(fields.keys() - {"display_name"})}
            name, verb = client.update_schedule(schedule=changed, update_mask=mask).name, "changed"
    return f"{verb} {name}; {_PAGES}/schedules?project={settings.cloud.project} shows, pauses and removes it"


def _client(kind: Any, settings: Settings) -> Any:
    from artifacts.storage.google_cloud import vertex_client

    return vertex_client(kind, settings.vertex.endpoint, settings.cloud.region or "")


def _parent(settings: Settings) -> str:
    return f"projects/{settings.cloud.project}/locations/{settings.cloud.region}"


if __name__ == "__main__":
    sys.exit(cli.run(main))
