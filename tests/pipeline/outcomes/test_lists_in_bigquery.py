"""Recommendations in a BigQuery table, over REST and gRPC against an emulator: the same outcome as of their files."""

from __future__ import annotations

import datetime

import orjson
import pytest
from google.cloud import bigquery

from artifacts.manifests import DatasetManifest
from artifacts.manifests.experiment import ExperimentOfRows, ExperimentRecord, VariantRecord
from artifacts.paths import Dataset
from configs.errors import UserError
from configs.settings import BigQuerySettings, ExplorationSettings
from pipeline import outcome as command
from pipeline.demo.lists.deeds import Site
from pipeline.demo.lists.habits import Habits
from pipeline.outcomes.live import runs
from pipeline.prediction.writers.answers import WORDS, Extra
from pipeline.prediction.writers.parquet import table_schema
from ranking.experiments.assignment import Experiment
from tests.support import manifests
from tests.support.bigquery_server import PROJECT
from tests.support.outcomes import (
    NAME,
    RUN_TIME,
    measured,
    settings,
    simulated,
    write_export,
    write_predictions,
    write_world,
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
_TYPES = {"string": "STRING", "int64": "INTEGER", "double": "FLOAT", "timestamp[us, tz=UTC]": "TIMESTAMP"}
TABLE = f"bq://{PROJECT}.lists.predictions"
OF_EXPERIMENT, STAFF = f"bq://{PROJECT}.lists.experiment", "v5"
SHARES = {"old": 0.5, "new": 0.3, "holdout": 0.2}, {"old": 0.4, "new": 0.4, "holdout": 0.2}  # of each run


def fields(extra: Extra) -> list[bigquery.SchemaField]:
    """Return the columns of the table that predictions are loaded into."""
    return [bigquery.SchemaField(f.name, _TYPES[str(f.type)]) for f in table_schema(WORDS["recommendations"], extra)]


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
    bigquery_server.load("lists", "predictions", fields(Extra()), rows)
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


def with_experiment(root, shares: dict[str, float]) -> list[dict]:
    """Write variants and propensities into the files of predictions; return the same as rows of a table."""
    (file,) = root.glob("*.jsonl")
    manifest, lines, rows = orjson.loads((root / "manifest.json").read_bytes()), [], []
    versions = {name: "other" if name == "new" else manifest["model_version"] for name in shares}
    made = [
        VariantRecord(share=share, model_version=versions[name], is_holdout=name == "holdout", visitors=0)
        for name, share in shares.items()
    ]
    variants = dict(zip(shares, made, strict=True))
    of_run = {"name": "summer", "salt": "s", "planned_visitors": 80}
    text = ExperimentOfRows(
        **of_run,
        model_version=manifest["model_version"],
        variants={name: one.model_dump(exclude={"visitors"}) for name, one in variants.items()},
    ).model_dump_json()
    split = Experiment("summer", "s", tuple(shares), tuple(shares.values()), frozenset([STAFF.encode()]))
    for number, line in enumerate(map(orjson.loads, file.read_bytes().splitlines())):
        variant = split.variant_of(line["visitorId"].encode())
        for entry in line["recommendations"]:
            entry["propensity"] = 0.05 * (1 + (number + entry["rank"]) % 19)
            of_table = {"visitorId": line["visitorId"], "rule": line["rule"], "variant": variant, **entry}
            of_table |= {"run_time": manifest["run_time"], "experiment": text if entry["rank"] == 1 else None}
            rows.append(of_table | {"model_version": versions.get(variant, manifest["model_version"])})
        lines.append(orjson.dumps(line | {"variant": variant}) + b"\n")
    file.write_bytes(b"".join(lines))
    manifest["files"] = {name: each.model_dump() for name, each in manifests.describe_below(root, file).items()}
    manifest["settings"]["exploration"] = ExplorationSettings(share=0.5).model_dump()
    manifest["experiment"] = ExperimentRecord(**of_run, variants=variants, excluded=1).model_dump()
    (root / "manifest.json").write_bytes(orjson.dumps(manifest))
    return rows


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, bigquery_server):
    """Two runs of an experiment with exploration, whose shares changed, as files and in a table; rows of the table."""
    root = tmp_path_factory.mktemp("experiment")
    lists = write_world(root, visitors=150, items=20, length=3)
    dataset = Dataset(str(root / "dataset"))
    made = DatasetManifest.read(dataset.manifest)
    made.created = "2024-01-01T03:00:00+00:00"
    made.write(dataset.manifest)
    for name, day, version in (("first", 0, "monday"), ("later", 2, "wednesday"), ("plain", 2, "plain")):
        time = RUN_TIME + datetime.timedelta(days=day)
        write_predictions(root / name, lists, dataset, 3, run_time=time.isoformat(), model_version=version)
    rows = [row for name, shares in zip(("first", "later"), SHARES, strict=True)
            for row in with_experiment(root / name, shares)]  # fmt: skip
    site = Site(NAME, catalogue=[f"c{number}" for number in range(20)])
    write_export(root, simulated(lists, Habits(), 4, 1, site)[0])
    bigquery_server.load("lists", "experiment", fields(Extra(variant=True, propensity=True)), rows)
    return root, rows


def test_files_and_a_table_give_the_same_experiment_and_estimates(experiment, bigquery_server):
    root, _ = experiment
    plain = str(root / "plain")
    manifest, figures = measured(settings(root, predictions=(str(root / "first"), str(root / "later")), compare=plain))
    of_table, same = measured(from_table(root, bigquery_server, OF_EXPERIMENT, compare=plain))
    assert same == figures
    assert (of_table.counts, of_table.excluded, of_table.warnings) == (
        manifest.counts, manifest.excluded, manifest.warnings)  # fmt: skip
    summer = same.experiments["summer"]
    assert (
        summer.shares_changed and summer.changed > 3 and set(summer.mismatch) == {"with a list", "who came", "exposed"}
    )
    assert all(one.exposed and "clicks per exposure" in one.metrics for one in summer.variants.values())
    assert list(summer.variants) == list(SHARES[0]) and same.compared.rounds > 100
    assert same.compared.ips.value != pytest.approx(same.compared.shown.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            None,
            "several versions or variants of one time, and not the experiment that they are of; name the",
        ),
        ("{}", "has an invalid experiment; predict again"),
    ],
)
def test_an_experiment_whose_shares_are_unknown_is_refused(experiment, bigquery_server, text, said):
    root, rows = experiment
    name = "unknown" if text is None else "invalid"
    others = [row | {"experiment": text} for row in rows[:60]]
    bigquery_server.load("lists", name, fields(Extra(variant=True, propensity=True)), others)
    with pytest.raises(UserError) as error:
        runs.of_settings(from_table(root, bigquery_server, f"bq://{PROJECT}.lists.{name}"))
    assert said in str(error.value) and "\n" not in str(error.value)
