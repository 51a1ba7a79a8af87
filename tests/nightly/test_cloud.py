"""Requests of a night to BigQuery and Vertex AI, over the real protocols: tables of the window, a view, an alias."""

from __future__ import annotations

import datetime
from concurrent import futures

import grpc
import pytest
from google.cloud import aiplatform_v1 as vertex
from google.cloud import bigquery

from artifacts.manifests import LiveVersion
from artifacts.paths import Night
from configs.errors import UserError
from configs.settings import Settings, resolve
from nightly import destinations, inputs
from nightly.steps.commands import Plan, Preprocess
from tests.support.bigquery_server import PROJECT, SCHEMAS
from tests.support.nights import write_output

TIME = "2024-01-0{}T03:00:00+00:00"
ROWS = [
    bigquery.SchemaField("visitorId", "STRING"),
    bigquery.SchemaField("model_version", "STRING"),
    bigquery.SchemaField("run_time", "TIMESTAMP"),
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")


@pytest.fixture
def server(bigquery_server):
    return bigquery_server


def settings(server, **sections) -> Settings:
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.analytics.events_*", "window_days": 2, "end_date": "2024-01-03"}
    return resolve(Settings.model_validate({"source": source, "bigquery": server.settings()} | sections))


def test_the_tables_of_the_window_and_a_date_without_one(server):
    for table in ("events_20240101", "events_20240102", "events_20240103", "events_intraday_20240104", "pseudonyms_"):
        server.load("analytics", table, SCHEMAS["ga4"], [])
    found = inputs.tables_of(settings(server), datetime.date(2024, 1, 3))
    assert [table.path[-8:] for table in found] == ["20240102", "20240103"] and all(table.changed for table in found)
    later = settings(server).source.model_copy(update={"end_date": datetime.date(2024, 1, 4), "start_date": None})
    with pytest.raises(inputs.NoTableError, match=r"no table of 2024-01-04 .* the latest is of 2024-01-03"):
        inputs.tables_of(settings(server).model_copy(update={"source": later}), datetime.date(2024, 1, 4))
    nowhere = settings(server, source={"kind": "ga4", "input": f"bq://{PROJECT}.nowhere.events_*"})
    with pytest.raises(UserError, match=r"nothing of the window matches bq://test-project.nowhere.events_\*"):
        inputs.tables_of(nowhere, datetime.date(2024, 1, 3))


def test_a_catalogue_in_a_table_repeats_the_dataset_when_it_is_written_again(server, tmp_path):
    server.rows("CREATE SCHEMA night_shop")

    def identity(name: str = "night_shop.items") -> str:
        chosen = settings(server, catalogue=f"bq://{PROJECT}.{name}")
        return Preprocess().identity(Plan(chosen, Night(str(tmp_path)), "config", [], None))

    server.rows("CREATE TABLE night_shop.items AS SELECT 'x' contentId")
    before = identity()
    assert identity() == before
    server.rows("CREATE OR REPLACE TABLE night_shop.items AS SELECT 'x' contentId, 'new' title")
    assert identity() != before
    for name, why in {"night_shop.nothing": "not found", "items": "write it as bq://PROJECT.DATASET.TABLE"}.items():
        with pytest.raises(UserError, match=why):
            identity(name)


def version(tmp_path, day: int) -> LiveVersion:
    """Return a version whose predictions name their model and their time."""
    root = tmp_path / str(day)
    write_output(str(root / "predictions"), "predictions", "x", model_version=f"m{day}", run_time=TIME.format(day))
    directories = {"dataset_dir": "d", "model_dir": f"gs://b/{day}/model", "predictions_dir": str(root / "predictions")}
    return LiveVersion(date=f"2024-01-0{day}", attempt=1, model_digest="digest", **directories)


def test_a_view_shows_the_live_version_and_follows_it_back(server, tmp_path):
    rows = [{"visitorId": f"v{day}", "model_version": f"m{day}", "run_time": TIME.format(day)} for day in (2, 3)]
    server.load("recommendations", "by_visitor", ROWS, rows)
    view, table = f"{PROJECT}.recommendations.live", f"bq://{PROJECT}.recommendations.by_visitor"
    chosen = settings(server, nightly={"bigquery_view": view}, prediction={"table": table, "table_keeps": "all"})
    for day in (2, 3, 2):
        destinations.follow(chosen, version(tmp_path, day), None, lambda text: None)
        assert [row["visitorId"] for row in server.rows(f"SELECT * FROM `{view}`")] == [f"v{day}"]  # noqa: S608
    replaced = settings(server, nightly={"bigquery_view": view}, prediction={"table": table})
    with pytest.raises(UserError, match=r"needs prediction.table, with prediction.table_keeps all"):
        destinations.follow(replaced, version(tmp_path, 2), None, lambda text: None)
    wrong = settings(server, nightly={"bigquery_view": "a`b.c.d"}, prediction={"table": table, "table_keeps": "all"})
    with pytest.raises(UserError, match=r"nightly.bigquery_view a`b.c.d: write it as PROJECT.DATASET.NAME"):
        destinations.follow(wrong, version(tmp_path, 2), None, lambda text: None)


class Registry(grpc.GenericRpcHandler):
    """Vertex AI's Model Registry with two versions of one model; it records where the alias is."""

    def __init__(self):
        self.aliases: dict[str, list[str]] = {}

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        return grpc.unary_unary_rpc_method_handler(lambda data, context: getattr(self, name)(data, context))

    def ListModelVersions(self, data, context):  # noqa: N802 - the protocol's
        models = [vertex.Model(version_id=str(day), artifact_uri=f"gs://b/{day}/model/saved_model") for day in (2, 3)]
        return vertex.ListModelVersionsResponse.serialize(vertex.ListModelVersionsResponse(models=models))

    def MergeVersionAliases(self, data, context):  # noqa: N802
        request = vertex.MergeVersionAliasesRequest.deserialize(data)
        self.aliases[request.name] = list(request.version_aliases)
        return vertex.Model.serialize(vertex.Model(version_id="2"))


def test_the_alias_of_vertex_ai_follows_by_the_models_place(tmp_path):
    registry = Registry()
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([registry])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        model = "projects/p/locations/europe-west1/models/3"
        chosen = Settings(nightly={"vertex_model": model}, vertex={"endpoint": f"http://127.0.0.1:{port}"})
        destinations.follow(chosen, version(tmp_path, 3), None, lambda text: None)
        assert registry.aliases == {f"{model}@3": ["live"]}
        with pytest.raises(UserError, match="has no version of gs://b/4/model: register it first"):
            destinations.follow(chosen, version(tmp_path, 4), None, lambda text: None)
        server.stop(None).wait()
    with pytest.raises(UserError, match="projects/P/locations/R/models/M"):
        destinations.follow(Settings(nightly={"vertex_model": "wals"}), version(tmp_path, 3), None, lambda text: None)


def test_a_server_that_cannot_follow_is_said_and_the_version_is_live_all_the_same(tmp_path):
    commands, chosen = [], Settings(nightly={"serve": True})

    def execute(command, say, timeout_s):
        commands.append(command)
        return len(commands) - 1

    destinations.follow(chosen, version(tmp_path, 3), execute, lambda text: None)
    assert commands[0][0] == "serving.publish" and commands[0][-2:] == ("--model_dir", "gs://b/3/model")
    with pytest.raises(UserError, match=r"2024-01-03.1 is live, but serving.publish failed \(1\)"):
        destinations.follow(chosen, version(tmp_path, 3), execute, lambda text: None)
