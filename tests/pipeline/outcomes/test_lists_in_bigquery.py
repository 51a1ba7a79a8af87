"""Recommendations in a BigQuery table, over REST and gRPC against an emulator: the same outcome as of their files."""

from __future__ import annotations

import pytest
from google.cloud import bigquery

from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from configs.errors import UserError
from configs.settings import BigQuerySettings
from pipeline import outcome as command
from pipeline.demo.lists.deeds import Site
from pipeline.demo.lists.habits import Habits
from pipeline.outcomes.live import runs
from pipeline.prediction.writers.answers import WORDS, Extra
from pipeline.prediction.writers.parquet import table_schema
from tests.support.bigquery_server import PROJECT
from tests.support.outcomes import NAME, RUN_TIME, measured, settings, simulated, write_export, write_world

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
_TYPES = {"string": "STRING", "int64": "INTEGER", "double": "FLOAT", "timestamp[us, tz=UTC]": "TIMESTAMP"}
TABLE = f"bq://{PROJECT}.lists.predictions"


@pytest.fixture(scope="module")
def world(tmp_path_factory, bigquery_server):
    """A simulated day; its lists as files and in a table, which also has those of an earlier run."""
    root = tmp_path_factory.mktemp("lists")
    lists = write_world(root, visitors=60, items=20, length=3)
    dataset = Dataset(str(root / "dataset"))
    made = DatasetManifest.read(dataset.manifest)
    made.created = "2024-01-01T03:00:00+00:00"
    made.write(dataset.manifest)
    site = Site(NAME, catalogue=[f"c{number}" for number in range(20)])
    write_export(root, simulated(lists, Habits(), 2, 1, site)[0])
    rows = []
    for version, time in (("sunday", RUN_TIME.replace(year=2023)), ("monday", RUN_TIME)):
        for one in lists:
            for rank, item in enumerate(one.items, 1):
                row = {"visitorId": one.visitor, "contentId": item, "rank": rank, "score": 1 / rank, "rule": one.rule}
                rows.append(row | {"model_version": version, "run_time": time.isoformat()})
    names = [field for field in table_schema(WORDS["recommendations"], Extra()) if field.name in rows[0]]
    schema = [bigquery.SchemaField(field.name, _TYPES[str(field.type)]) for field in names]
    bigquery_server.load("lists", "predictions", schema, rows)
    return root


def from_table(world, server, url=TABLE, **outcome):
    made = settings(world, predictions=(url,), **outcome)
    return made.model_copy(update={"bigquery": BigQuerySettings(**server.settings())})


def test_files_and_a_table_give_the_same(world, bigquery_server, capsys):
    manifest, figures = measured(settings(world))
    of_table, same = measured(from_table(world, bigquery_server))
    assert same == figures and figures.versions["monday"].tracked.whole.clicks > 5
    assert (of_table.counts, of_table.excluded) == (manifest.counts, manifest.excluded)
    said = capsys.readouterr().out
    assert "left out 1 run before 2024-01-01 03:00, when its dataset was made" in " ".join(said.split())


def test_tables_that_are_of_no_use(world, bigquery_server):
    schema = [bigquery.SchemaField("visitorId", "STRING")]
    bigquery_server.load("lists", "others", schema, [{"visitorId": "v0"}])
    for table, said in (
        ("lists.others", "has no column contentId; name a table of recommendations"),
        ("lists.missing", "not found"),
        ("lists", "write it as bq://PROJECT.DATASET.TABLE"),
    ):
        with pytest.raises(UserError) as error:
            command.outcome(from_table(world, bigquery_server, f"bq://{PROJECT}.{table}"), [], True)
        assert said in str(error.value) and "\n" not in str(error.value)


def test_runs_that_are_all_older_than_the_dataset(world, bigquery_server, tmp_path):
    dataset = Dataset(str(world / "dataset"))
    made = DatasetManifest.read(dataset.manifest).model_copy(update={"created": "2025-01-01T00:00:00+00:00"})
    (tmp_path / "later").mkdir()
    made.write(str(tmp_path / "later" / "manifest.json"))
    with pytest.raises(UserError) as error:
        runs.of_settings(from_table(world, bigquery_server, datasets=(str(tmp_path / "later"),)))
    assert "has 2 runs, and none after its dataset was made; name the datasets" in str(error.value)
