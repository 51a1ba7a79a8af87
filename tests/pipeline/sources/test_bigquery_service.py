"""BigQuery as a service: streams that break, what it refuses, what a query would cost; a table of predictions."""

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from artifacts.manifests import DatasetManifest, PredictionsManifest
from configs.errors import UserError
from pipeline import batch_predict, preprocess
from pipeline.prediction.writers import bigquery
from pipeline.sources import inputs
from pipeline.sources.bigquery import names
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service
from pipeline.sources.bigquery.streams import read_stream
from tests.support import forkserver
from tests.support.bigquery_server import PROJECT, SCHEMAS, relaying, relaying_streams, settings
from tests.support.exports import event, hit, interactions, reads, session, write_ndjson
from trainer.job import training_job as job

ROOT = Path(__file__).parents[3]

# Google's clients leave sockets to the collector, and the emulator's project has no quota of its own.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture
def server(bigquery_server):
    return bigquery_server


@pytest.mark.parametrize("breaks", [0, 3])
def test_a_broken_stream_goes_on_where_it_broke(server, breaks):
    rows = [event(f"v{number}", "x", number + 1) for number in range(1000)]
    dataset = f"broken{breaks}"
    server.load(dataset, "events_20240101", SCHEMAS["ga4"], rows)
    with relaying_streams(server, breaks=breaks) as relay:
        own = server.settings(storage_endpoint=relay.url)
        found, counts = interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.{dataset}.events_*"}))
        assert relay.offsets == [300 * number for number in range(breaks + 1)]
    assert {visitor: amount for (visitor, _), (amount, _) in found.items()} == {
        b"v%d" % number: number + 1.0 for number in range(1000)
    }
    assert counts["records.read"] == 1000


def test_wide_rows_come_in_batches_of_some_bytes(server):
    server.load("wide", "events_20240101", SCHEMAS["ga4"], [event(f"v{number}", "x", 9) for number in range(1000)])
    with relaying_streams(server) as relay:
        made = settings(
            server.settings(storage_endpoint=relay.url), {"kind": "ga4", "input": f"bq://{PROJECT}.wide.events_*"}
        )
        with inputs.opened(made) as opened:
            (stream,) = opened.files
            batches = list(read_stream(stream, Service(made.bigquery), batch_bytes=1))
    assert [batch.columns.num_rows for batch in batches] == [100] * 10  # as the relay sends them
    assert [number for batch in batches for number in batch.numbers] == list(range(1, 1001))


def test_a_stream_that_stays_broken_is_an_error_within_the_time_given(server, tmp_path):
    server.load("gone", "events_20240101", SCHEMAS["ga4"], [event(f"v{n}", "x", 9) for n in range(1000)])
    before = server.datasets()
    with relaying_streams(server, breaks=10**6) as relay:
        own = server.settings(storage_endpoint=relay.url, retry_seconds=1)
        relay.after = 0
        made = settings(
            own, {"kind": "ga4", "input": f"bq://{PROJECT}.gone.events_*"}, dataset_dir=str(tmp_path / "out")
        )
        with pytest.raises(UserError, match=r"broke after row 0 and stayed broken .*run it again later"):
            preprocess.preprocess(made, [], replace=False)
    assert not list(tmp_path.iterdir())
    assert server.datasets() == before


FAULTS = {
    "no permission": ("POST", 403, "accessDenied", "Access Denied: User does not have bigquery.jobs.create", 99,
                      "no permission .*bigquery.jobs.create.*docs/permissions.md"),
    "quota": ("POST", 403, "quotaExceeded", "Quota exceeded: too many concurrent queries", 99, "a quota is used up"),
    "service down": ("POST", 503, "backendError", "Error encountered during execution", 99,
                     "still failing after bigquery.retry_seconds .*run it again later"),
    "bytes": ("POST", 400, "bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 10", 99,
              "narrow the window, or raise bigquery.maximum_bytes_billed"),
    "no such project": ("POST", 404, "notFound", "Not found: Project some-site", 99, "check .*bigquery.project"),
    "two regions": ("POST", 400, "invalid", "Cannot read and write in different locations: source: US, destination: EU",
                    99, "put the bucket and the datasets in one place, and set bigquery.location to it"),
    "place": ("POST", 404, "notFound", "Not found: Dataset x was not found in location EU", 99,
              "set bigquery.location"),
}  # fmt: skip


def seen_by_a_view(server, dataset):
    """Make a view of a GA4 table, which is read by a query."""
    server.load(dataset, "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    server.rows(f"CREATE VIEW {dataset}.seen AS SELECT * FROM {dataset}.events_20240101")  # noqa: S608 - a constant


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_service_are_one_line_that_says_what_to_do(server, name):
    method, status, reason, message, times, said = FAULTS[name]
    with contextlib.suppress(Exception):
        seen_by_a_view(server, "faulty")
    with relaying(server) as relay:
        relay.faults.append([f"{method} /bigquery/v2/projects/{PROJECT}/", status, reason, message, times])
        own = server.settings(endpoint=relay.url, retry_seconds=2)
        with pytest.raises(UserError, match=said) as raised:
            interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.faulty.seen"}))
        tries = 99 - relay.faults[0][-1]
    assert "\n" not in str(raised.value)
    assert (tries > 1) == (name in ("quota", "service down")), "what may pass is tried again, and nothing else"


def test_passing_faults_are_tried_again_and_labels_and_limits_go_along(server):
    seen_by_a_view(server, "passing")
    with relaying(server) as relay:
        relay.faults.append(["POST", 503, "backendError", "try again", 2])
        own = server.settings(endpoint=relay.url, labels={"team": "news"}, maximum_bytes_billed=10**9, retry_seconds=30)
        found, _ = interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.passing.seen"}))
        jobs = [body["configuration"] for _, path, body in relay.seen if path.split("?")[0].endswith("/jobs")]
    assert found == {(b"a", b"x"): (9.0, 1704067200000)}
    assert all(job["labels"] == {"team": "news"} for job in jobs)
    assert all(job["query"]["maximumBytesBilled"] == str(10**9) for job in jobs)
    made = [job for job in jobs if not job.get("dryRun")]
    assert made and all("expiration_timestamp" in job["query"]["query"] for job in made)


def test_a_read_over_the_limit_is_not_begun(server):
    seen_by_a_view(server, "dear")
    own = server.settings(maximum_bytes_billed=10)
    with pytest.raises(UserError, match=r"would read [1-9]\d+ bytes, more than bigquery.maximum_bytes_billed 10; nar"):
        interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.dear.events_*"}))
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.dear.seen"}
    with relaying(server) as relay:
        own = server.settings(endpoint=relay.url, maximum_bytes_billed=2_000_000_000)
        relay.reads = 2_000_000_001
        with pytest.raises(
            UserError, match=r"would read 2,000,000,001 bytes, more than bigquery.maximum_bytes_billed 2,000,000,000"
        ):
            interactions(settings(own, source))
        jobs = [body["configuration"] for _, path, body in relay.seen if path.split("?")[0].endswith("/jobs")]
        assert [job["dryRun"] for job in jobs] == [True]
        relay.reads = 2_000_000_000
        found, _ = interactions(settings(own, source))
    assert found == {(b"a", b"x"): (9.0, 1704067200000)}


def test_what_cannot_be_read_is_said_before_anything_is_made(server, tmp_path, monkeypatch, capsys):
    def said(source, own=None):
        made = settings(own or server.settings(), source)
        with pytest.raises(UserError) as raised:
            interactions(made)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "not found" in said({"kind": "ga4", "input": f"bq://{PROJECT}.nothing.events_*"})
    assert "bq://PROJECT.DATASET.TABLE" in said({"kind": "ga4", "input": "bq://a.b`; DROP TABLE x.events_*"})
    assert "not found" in said({"kind": "ga4", "input": f"bq://{PROJECT}.days.users"})
    server.load("other", "events_20240101", SCHEMAS["ga360"], [session("a", 1, [hit(1, 0, "x")])])
    assert "is not a ga4 export" in said({"kind": "ga4", "input": f"bq://{PROJECT}.other.events_*"})
    server.load("no_items", "events_20240101", SCHEMAS["ga4"], [event("a", "x")])
    shop = {"preset": "ga4_shop", "input": f"bq://{PROJECT}.no_items.events_*"}
    assert "is not a ga4 export for these signals: it has no column items" in said(shop)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    no_credentials = {"project": PROJECT}
    assert "gcloud auth application-default login" in said(
        {"kind": "ga4", "input": f"bq://{PROJECT}.other.events_*"}, no_credentials
    )


def test_a_dry_run_prints_what_would_be_read_and_makes_nothing(server, tmp_path, capsys):
    server.load("dry", "ga_sessions_20240101", SCHEMAS["ga360"], [session("a", 1, [hit(1, 0, "x"), hit(2, 9)])])
    before = server.datasets(), server.tables("dry")
    config = tmp_path / "config.yaml"
    section = ", ".join(f"{key}: {value!r}" for key, value in server.settings().items())
    config.write_text(f"bigquery: {{{section}}}\ndataset_dir: {tmp_path}/out\nbeam: {{runner: FnApiRunner}}\n")
    flags = ["--config", str(config), "--input", f"bq://{PROJECT}.dry.ga_sessions_*", "--dry_run"]
    preprocess.main(flags)
    said = capsys.readouterr().out
    assert f"-- the table bq://{PROJECT}.dry.ga_sessions_* by the Storage Read API\n" in said
    assert "hits.customDimensions.index" in said and "-- 1 table, 2024-01-01 to 2024-01-01\n-- would read " in said
    assert (server.datasets(), server.tables("dry")) == before and not (tmp_path / "out").exists()
    server.rows("CREATE TABLE dry.items AS SELECT 'x' contentId, 1.5 margin")
    server.rows("CREATE TABLE dry.nameless AS SELECT 'x' id")
    preprocess.main([*flags, "--catalogue", f"bq://{PROJECT}.dry.items"])
    assert f"catalogue bq://{PROJECT}.dry.items: 2 columns; would read " in capsys.readouterr().out
    for name, why in {"nameless": "has no column contentId", "missing": "not found"}.items():
        with pytest.raises(UserError, match=why):
            preprocess.main([*flags, "--catalogue", f"bq://{PROJECT}.dry.{name}"])


def test_pipeline_then_train_says_what_each_would_do(server, tmp_path):
    """`make pipeline-then-train ARGS=--dry_run` on configs/gcp.yaml, its names replaced: the tables, then both jobs."""
    server.load("analytics_123456789", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    server.load("wals_temp", "none", SCHEMAS["ga4"], [])
    text = (ROOT / "configs" / "gcp.yaml").read_text()
    for word, value in (("PROJECT", PROJECT), ("REGION", "europe-west1"), ("BUCKET", "site-wals")):
        text = text.replace(word, value)
    tree = yaml.safe_load(text)
    tree["bigquery"] |= server.settings()
    config = tmp_path / "gcp.yaml"
    config.write_text(yaml.safe_dump(tree))
    make = ["make", "--dry-run", "pipeline-then-train", f"CONFIG={config}", "ARGS=--dry_run"]
    recipes = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    jobs = [shlex.split(line) for line in recipes.splitlines() if " -m wals " in line]
    assert len(jobs) == 2
    said_by_both = ""
    for _, *arguments in jobs:
        done = forkserver.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        said_by_both += done.stdout
    for said in (
        f"-- the table bq://{PROJECT}.analytics_123456789.events_* by the Storage Read API",
        "-- 1 table, 2024-01-01 to 2024-01-01",
        "-- would read ",
        "-- on DataflowRunner: ",
        "region=europe-west1",
        "machine_type=n2-highmem-4",
        f"sdk_container_image=europe-west1-docker.pkg.dev/{PROJECT}/wals/worker:0.1.0",
        f'"imageUri": "europe-west1-docker.pkg.dev/{PROJECT}/wals/trainer:0.1.0"',
        '"gs://site-wals/wals/dataset"',
    ):
        assert said in said_by_both
    assert server.tables("wals_temp") == ["none"]
    server.remove("wals_temp")


def test_names_are_checked():
    assert names.parse("bq://example.com:site.ga4.events_*", "x") == TableName(
        "example.com:site", "ga4", "events_", True
    )
    for wrong in ("bq://a.b", "a.b.c", "bq://a.b.c d", "bq://a.b.`c`", "bq://a.b.c*d", "bq://a.b-c.d", "gs://a/b"):
        with pytest.raises(UserError, match=r"PROJECT\.DATASET\.TABLE"):
            names.parse(wrong, "source.input")


def test_from_tables_to_a_table_of_predictions(server, tmp_path, monkeypatch, capsys):
    """Through the commands, as a night goes: GA's tables -> dataset -> model -> predictions -> a table."""
    rows = []
    for number in range(20):
        items = {f"c{c}": 1000 for c in range(number % 2, 20, 2) if c != (number + 2) % 20}
        rows.append(reads(f"v{number}", items))
    rows.append(reads("bot", {f"c{c}": 1000 for c in range(20)}))
    server.load("night", "ga_sessions_20240101", SCHEMAS["ga360"], rows)
    server.load("night_out", "other", SCHEMAS["ga360"], [])
    table = f"bq://{PROJECT}.night_out.predictions"
    paths = {key: str(tmp_path / key) for key in ("dataset_dir", "model_dir", "predictions_dir")}

    def made(**prediction):
        # Visitors with more views on a day are bots; a visitor reads nine or ten items.
        source = {"kind": "ga360", "input": f"bq://{PROJECT}.night.ga_sessions_*", "max_views_a_day": 12}
        training = {"embedding_dimension": 4, "max_sweeps": 10, "regularization_coeff": 0.01}
        return settings(
            server.settings(),
            source,
            rating={"kind": "binary"},
            training=training,
            prediction={"top_k": 3, "table": table} | prediction,
            **paths,
        )

    preprocess.preprocess(made(), [], replace=False)
    files = made().model_copy(
        update={
            "source": made().source.model_copy(update={"input": str(write_ndjson(tmp_path / "rows.ndjson", rows))}),
            "dataset_dir": str(tmp_path / "of_files"),
        }
    )
    preprocess.preprocess(files, [], replace=False)
    of_tables, of_files = (DatasetManifest.read(f"{each.dataset_dir}/manifest.json") for each in (made(), files))
    assert of_tables.files == of_files.files and of_tables.skipped == of_files.skipped
    assert of_tables.bigquery["tables"] == 1 and of_tables.bigquery["bytes"] > 0
    job.train(made().training, paths["dataset_dir"], paths["model_dir"], replace=False)
    manifest = batch_predict.predict(made(table_keeps="run"), [], replace=False)
    lines = [
        json.loads(line)
        for path in sorted(Path(paths["predictions_dir"]).glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    expected = {
        (line["visitorId"], item["contentId"], item["rank"]): (item["score"], line["rule"])
        for line in lines
        for item in line["recommendations"]
    }

    def loaded():
        found = server.rows("SELECT * FROM night_out.predictions")
        assert {row["model_version"] for row in found} == {manifest.model_version}
        places = [(row["visitorId"], row["contentId"], row["rank"]) for row in found]
        values = [(pytest.approx(row["score"]), row["rule"]) for row in found]
        return dict(zip(places, values, strict=True))

    assert loaded() == expected and len(expected) == 60
    batch_predict.predict(made(table_keeps="run"), [], replace=True)
    assert loaded() == expected  # in place of the run before
    batch_predict.predict(made(table_keeps="all"), [], replace=True)
    assert len(server.rows("SELECT * FROM night_out.predictions")) == 120

    remote = server.bucket / "site" / "predictions"  # what the emulator takes for gs://site/predictions
    shutil.copytree(paths["predictions_dir"], remote)
    manifest = PredictionsManifest.read(str(remote / "manifest.json"))
    bigquery.load(made(table_keeps="run"), "gs://site/predictions", manifest)
    assert loaded() == expected
    bigquery.load(made(table_keeps="all"), "gs://site/predictions", manifest)

    with relaying(server) as relay:
        relay.faults.append(["POST /upload", 403, "accessDenied", "Access Denied: bigquery.tables.updateData", 1])
        endpoint = {"bigquery": made().bigquery.model_copy(update={"endpoint": relay.url})}
        with pytest.raises(UserError, match=r"was not touched .*loads them again.*no permission"):
            batch_predict.predict(made(table_keeps="run").model_copy(update=endpoint), [], replace=True)
        assert len(server.rows("SELECT * FROM night_out.predictions")) == 120
        relay.seen.clear()
        manifest = PredictionsManifest.read(str(Path(paths["predictions_dir"], "manifest.json")))
        with pytest.raises(UserError, match="Invalid table id"):  # the emulator's: it knows no partition by name
            bigquery.load(made(table_days=30).model_copy(update=endpoint), paths["predictions_dir"], manifest)
        (asked,) = [body["configuration"]["load"] for _, path, body in relay.seen if "/upload/" in path and body]
    day = manifest.run_time[:10].replace("-", "")
    assert asked["destinationTable"]["tableId"] == f"predictions${day}"  # a day's rows take the place of that day's
    assert asked["writeDisposition"] == "WRITE_TRUNCATE" and asked["clustering"] == {"fields": ["visitorId"]}
    assert asked["timePartitioning"] == {"type": "DAY", "field": "run_time", "expirationMs": str(30 * 86_400_000)}
    with pytest.raises(UserError, match="has other columns"):
        bigquery.check(made(table=f"bq://{PROJECT}.night_out.other"))
    with pytest.raises(UserError, match=r"prediction\.table .*not found"):
        bigquery.check(made(table=f"bq://{PROJECT}.nowhere.predictions"))
