"""The destinations that follow the live version: the server's directory, a BigQuery view, an alias in Vertex AI."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable

import yaml

from artifacts.manifests import LiveVersion, PredictionsManifest
from artifacts.paths import Predictions
from configs.errors import UserError
from configs.settings import BIGQUERY, Settings
from nightly import inputs
from nightly.steps.process import Execute

_TABLE = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+){2}")
_MODEL = re.compile(r"projects/[^/]+/locations/(?P<region>[a-z0-9-]+)/models/[^/@]+")
LIVE = "live"  # the alias in Vertex AI


def follow(settings: Settings, version: LiveVersion, execute: Execute, say: Callable[[str], None]) -> None:
    """Update every destination that the settings name to the live version; a second call changes nothing.

    Raise UserError if a destination could not be changed; the version is live all the same.
    """
    if settings.nightly.serve:
        _publish(settings, version, execute, say)
    if settings.nightly.bigquery_view:
        _replace_view(settings, version)
        say(f"{settings.nightly.bigquery_view} shows {version.name}")
    if settings.nightly.vertex_model:
        _move_alias(settings, version)
        say(f"{settings.nightly.vertex_model}@{LIVE} is {version.name}")


def _publish(settings: Settings, version: LiveVersion, execute: Execute, say: Callable[[str], None]) -> None:
    """Publish the model as the server's newest version; after a rollback that is a copy of the older model."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as config:
        yaml.safe_dump(settings.model_dump(mode="json"), config)
        config.flush()
        command = ("serving.publish", "--config", config.name, "--model_dir", version.model_dir)
        status = execute(command, lambda text: say(f"  {text}"), 60 * settings.nightly.step_timeout_minutes)
    if status:
        raise UserError(f"{version.name} is live, but serving.publish failed ({status}); run the same command again")


def _replace_view(settings: Settings, version: LiveVersion) -> None:
    """Replace the view in one statement, so that a query sees either the old version or the new one."""
    view, table = settings.nightly.bigquery_view or "", (settings.prediction.table or "").removeprefix(BIGQUERY)
    if not table or settings.prediction.table_keeps != "all":
        raise UserError("nightly.bigquery_view needs prediction.table, with prediction.table_keeps all")
    for name, setting in ((view, "nightly.bigquery_view"), (table, "prediction.table")):
        if not _TABLE.fullmatch(name):
            raise UserError(f"{setting} {name}: write it as PROJECT.DATASET.NAME")
    manifest = PredictionsManifest.read(Predictions(version.predictions_dir).manifest)
    model, time = manifest.model_version, manifest.run_time
    if not re.fullmatch(r"[\w.:-]+", model) or not re.fullmatch(r"[\d:T+.-]+", time):
        raise UserError(f"{version.predictions_dir} has an invalid model version or run time; predict again")
    # The text of a view takes no parameters: names and values are checked above.
    where = f"model_version = '{model}' AND run_time = TIMESTAMP '{time}'"
    with inputs.bigquery_client(settings.bigquery) as client:
        client.query(f"CREATE OR REPLACE VIEW `{view}` AS SELECT * FROM `{table}` WHERE {where}").result()  # noqa: S608


def _move_alias(settings: Settings, version: LiveVersion) -> None:
    """Move the alias to the registered version whose SavedModel is the live model's."""
    match = _MODEL.fullmatch(settings.nightly.vertex_model or "")
    if not match:
        raise UserError(
            f"nightly.vertex_model {settings.nightly.vertex_model}: write it as projects/P/locations/R/models/M"
        )
    from google.cloud import aiplatform_v1

    from artifacts.storage.google_cloud import explained, vertex_client

    with explained(f"{version.name} is live, but {match[0]} cannot be changed"):
        client = vertex_client(aiplatform_v1.ModelServiceClient, settings.vertex.endpoint, match["region"])
        for registered in client.list_model_versions(name=match[0]):
            if registered.artifact_uri.startswith(version.model_dir):
                name = f"{match[0]}@{registered.version_id}"
                client.merge_version_aliases(name=name, version_aliases=[LIVE])
                return
    raise UserError(f"{version.name} is live, but {match[0]} has no version of {version.model_dir}: register it first")
