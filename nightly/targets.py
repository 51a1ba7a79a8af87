"""What follows the alias beside it: the server's directory, a BigQuery view, a Vertex AI alias."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable

import yaml

from artifacts.paths import Predictions
from configs.errors import UserError
from configs.settings import BIGQUERY, Settings
from nightly import inputs, steps
from nightly.alias import Version
from nightly.steps import Execute

_VIEW = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+){2}")
_MODEL = re.compile(r"projects/[^/]+/locations/(?P<region>[a-z0-9-]+)/models/[^/@]+")
LIVE = "live"  # Vertex AI's alias


def follow(settings: Settings, version: Version, execute: Execute, say: Callable[[str], None]) -> None:
    """Brings every target that the settings name to the live version; doing it again changes nothing.

    Raises:
        UserError: one of them could not follow; the version is live all the same.
    """
    if settings.nightly.serve:
        _serve(settings, version, execute, say)
    if settings.nightly.bigquery_view:
        _view(settings, version)
        say(f"{settings.nightly.bigquery_view} shows {version.name}")
    if settings.nightly.vertex_model:
        _vertex(settings, version)
        say(f"{settings.nightly.vertex_model}@{LIVE} is {version.name}")


def _serve(settings: Settings, version: Version, execute: Execute, say: Callable[[str], None]) -> None:
    """A copy as the server's newest version; after a rollback that is a copy of the older model."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as config:
        yaml.safe_dump(settings.model_dump(mode="json"), config)
        config.flush()
        command = ("serving.publish", "--config", config.name, "--model_dir", version.model_dir)
        status = execute(command, lambda text: say(f"  {text}"), 60 * settings.nightly.step_timeout_minutes)
    if status:
        raise UserError(f"{version.name} is live, but serving.publish failed ({status}); run the same command again")


def _view(settings: Settings, version: Version) -> None:
    """One statement, so that readers of the view see the old version or the new one."""
    view, table = settings.nightly.bigquery_view or "", (settings.prediction.table or "").removeprefix(BIGQUERY)
    if not table or settings.prediction.table_keeps != "all":
        raise UserError("nightly.bigquery_view needs prediction.table, with prediction.table_keeps all")
    for name, setting in ((view, "nightly.bigquery_view"), (table, "prediction.table")):
        if not _VIEW.fullmatch(name):
            raise UserError(f"{setting} {name}: write it as PROJECT.DATASET.NAME")
    content = steps.read_manifest(Predictions(version.predictions_dir).manifest, "predictions")
    model, time = content["model_version"], content["run_time"]
    if not re.fullmatch(r"[\w.:-]+", model) or not re.fullmatch(r"[\d:T+.-]+", time):
        raise UserError(f"{version.predictions_dir} names a strange model version or time; predict again")
    # A view's text takes no parameters: names and values are checked above.
    where = f"model_version = '{model}' AND run_time = TIMESTAMP '{time}'"
    with inputs.client(settings.bigquery) as client:
        client.query(f"CREATE OR REPLACE VIEW `{view}` AS SELECT * FROM `{table}` WHERE {where}").result()  # noqa: S608


def _vertex(settings: Settings, version: Version) -> None:
    """Moves the alias to the version of the model that was made from this one's SavedModel."""
    match = _MODEL.fullmatch(settings.nightly.vertex_model or "")
    if not match:
        raise UserError(f"nightly.vertex_model {settings.nightly.vertex_model}: projects/P/locations/R/models/M")
    import grpc
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud import aiplatform_v1

    kind, endpoint = aiplatform_v1.ModelServiceClient, settings.vertex.endpoint or ""
    if endpoint.startswith("http://"):  # a private server without TLS
        channel = grpc.insecure_channel(endpoint.removeprefix("http://"))
        client = kind(transport=kind.get_transport_class("grpc")(channel=channel))
    else:
        client = kind(client_options={"api_endpoint": endpoint or f"{match['region']}-aiplatform.googleapis.com"})
    try:
        for found in client.list_model_versions(name=match[0]):
            if found.artifact_uri.startswith(version.model_dir):
                name = f"{match[0]}@{found.version_id}"
                client.merge_version_aliases(name=name, version_aliases=[LIVE])
                return
    except GoogleAPICallError as error:
        raise UserError(f"{version.name} is live, but {match[0]} cannot be changed: {error.message}") from error
    raise UserError(f"{version.name} is live, but {match[0]} has no version of {version.model_dir}: register it first")
