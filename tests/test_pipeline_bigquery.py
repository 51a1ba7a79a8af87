"""BigQuery as a source, over REST and gRPC against an emulator: the rules in SQL equal those in Python."""

import contextlib
import datetime
import gzip
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from bigquery_server import PROJECT, SCHEMAS, relaying, relaying_streams, serving, settings
from exports import SHARED, event, hit, needs_shared, reads, session, write_ndjson
from google.cloud import bigquery

from configs.errors import UserError
from pipeline import batch_predict, columns, inputs, kinds, preprocess, splits
from pipeline.bigquery import names, sink
from pipeline.bigquery.names import TableName
from trainer import job

ROOT = Path(__file__).parents[1]

# Google's clients leave sockets to the collector, and the emulator's project has no quota of its own.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bucket")) as found:
        yield found


def interactions(made) -> tuple[dict, dict]:
    """What the source of some settings gives, without Beam: (visitorId, contentId) -> amount, time; and the account.

    Where a split holds some out: (visitorId, contentId, "held out") as well.
    """
    parts, counts = [], Counter()
    with inputs.opened(made) as found:
        kind = kinds.kind_of(made.source, made.rating, made.split, found.read)
        for name in found.files:
            for raw in kind.read(name):
                extract = kind.extract(raw, name)
                parts.append(columns.to_bytes(extract.table))
                counts.update(extract.counts)
    pairs, held_out, more = splits.divide(kind.rows(columns.from_bytes(iter(parts))), kind.combine, made.split)
    rows = {}
    for table, mark in ((pairs, ()), (held_out, ("held out",))):
        for visitor, content, amount, time in (
            zip(*(c.to_pylist() for c in table.columns), strict=True) if table else ()
        ):
            rows[visitor, content, *mark] = amount, time
    return rows, counts + more


def both(server, tmp_path, dataset, kind, rows, **source) -> tuple[dict, dict]:
    """The same rows by BigQuery and by a file: the interactions of either, held equal, and BigQuery's account."""
    prefix = {"ga360": "ga_sessions_", "ga4": "events_"}[kind]
    split = source.pop("split", {})
    server.load(dataset, f"{prefix}20240101", SCHEMAS[kind], rows)
    own = {"kind": kind, "input": f"bq://{PROJECT}.{dataset}.{prefix}*"} | source
    found, counts = interactions(settings(server.settings(), own, split=split))
    path = write_ndjson(tmp_path / f"{prefix}20240101.ndjson", rows)
    expected, _ = interactions(settings({}, own | {"input": str(path)}, split=split))
    assert found == expected
    return found, counts


@needs_shared
@pytest.mark.parametrize(("kind", "family"), [("ga360", "ga_sessions_"), ("ga4", "events_")])
def test_sql_and_python_give_the_same_of_a_real_export(server, kind, family):
    paths = sorted((SHARED / "lastfm" / kind).glob("*.gz"))
    server.load_exports(f"lastfm_{kind}", kind, paths)
    before = server.datasets()
    made = settings(server.settings(), {"kind": kind, "input": f"bq://{PROJECT}.lastfm_{kind}.{family}*"})
    found, counts = interactions(made)
    expected, _ = interactions(settings({}, {"kind": kind, "input": str(SHARED / "lastfm" / kind / "*")}))
    assert len(found) == 52_668
    assert found == expected  # amounts and times, to the millisecond
    with gzip.open(SHARED / "lastfm" / "interactions.csv.gz", "rt") as file:
        lines = [line.rstrip("\n").split(",") for line in file][1:]
    column = {"ga360": 0, "ga4": 1}[kind]
    assert {pair: amount for pair, (amount, _) in found.items()} == {
        (line[column].encode(), line[2].encode()): float(line[3]) for line in lines
    }
    assert counts["records.skipped.no_content"] == 13_611
    assert server.datasets() == before, "the temporary dataset is removed"


def test_odd_sessions_are_the_same_in_sql(server, tmp_path):
    rows = [
        session("over midnight", 5, [hit(1, 0, "x"), hit(2, 700, "y")]),
        session("over midnight", 5, [hit(3, 900, "x"), hit(4, 1000)], "20240102"),
        session("ties", 6, [hit(2, 10, "b"), hit(1, 10, "a"), hit(3, 60, "a"), hit(4, 61, kind="EVENT")]),
        session("without content between", 7, [hit(1, 0, "x"), hit(2, 40), hit(3, 90, "x"), hit(4, 95)]),
        session("bad time", 8, [hit(1, 0, "x"), hit(2, -5, "y"), hit(3, 30, "z"), hit(4, 31)]),
        session(None, 9, [hit(1, 0, "x"), hit(2, 10)]),
        session("no visit", 9, [hit(1, 0, "x"), hit(2, 10)]) | {"visitId": None},
        session("no start", 9, [hit(1, 0, "x"), hit(2, 10)]) | {"visitStartTime": None},
        session("a\nb", 10, [hit(1, 0, "x"), hit(2, 10)]),
        session("bad content", 11, [hit(1, 0, ""), hit(2, 10, "li\nne"), hit(3, 25, "ü→漢字"), hit(4, 30)]),
        session("ü", 12, [hit(1, 0, "0007"), hit(2, 10, "7"), hit(3, 30, "7 "), hit(4, 31)]),
        session("no hits", 13, []),
        session("two", 14, [hit(1, 0, "x")]) | {"visitNumber": "1"},
        session("two", 14, [hit(2, 50, "x"), hit(3, 51)]) | {"visitNumber": "2"},
    ]
    rows += [session("far", 16, [hit(1, 0, "x"), hit(2, 10)]) | {"visitStartTime": str(at)} for at in (-1, 2**62)]
    rows.append(session("far hit", 17, [hit(1, 0, "x"), hit(2, 2**62, "y"), hit(3, 20)]))
    twice = hit(1, 0, "first")
    twice["customDimensions"].append({"index": "10", "value": "later"})
    rows.append(session("dimension twice", 15, [twice, hit(2, 5)]))
    found, counts = both(server, tmp_path, "odd360", "ga360", rows)
    assert found[b"over midnight", b"x"] == (800.0, 5900)
    assert (b"dimension twice", b"later") in found
    rejected = {name: count for name, count in counts.items() if ".rejected." in name}
    assert rejected == {
        "records.rejected.visitor_id_missing": 2,
        "records.rejected.visit_id_invalid": 2,
        "records.rejected.visit_start_time_invalid": 6,
        "records.rejected.hit_time_invalid": 2,
        "records.rejected.visitor_id_newline": 1,
        "records.rejected.content_id_empty": 1,
        "records.rejected.content_id_newline": 1,
    }
    both(server, tmp_path, "odd360visits", "ga360", rows, visitor_key="visit")
    cut = {"kind": "time", "time": "1970-01-01T00:00:05.800"}
    found, _ = both(server, tmp_path, "odd360cut", "ga360", rows, split=cut)
    assert found[b"over midnight", b"x"] == (700.0, 5000) and (b"ties", b"b", "held out") in found
    both(server, tmp_path, "odd360bound", "ga360", rows, min_dwell_ms=20, max_dwell_ms=100, content_dimension_index=10)


def test_odd_events_are_the_same_in_sql(server, tmp_path):
    def param(key, **value):
        return {"key": key, "value": value}

    def typed(visitor, value, engaged):
        row = event(visitor, None)
        row["event_params"] += [param("content_id", **value), param("engagement_time_msec", **engaged)]
        return row

    rows = [
        event("a", "x", 100),
        event("a", "x", 50, event_timestamp="1704067200999999"),
        event("a", "y"),
        event("a", None, 70),
        event(None, "x", 10),
        event(None, "x", 10, user_id="known"),
        event("b", "x", 10, user_id="known"),
        event("c", "x", 10, user_id=""),
        event("d", "x", -10),
        event("e", "", 10),
        event("f", "li\nne", 10),
        event("g\r", "x", 10),
        typed("h", {"int_value": "42"}, {"int_value": "5"}),
        typed("h", {"double_value": 42.0}, {"double_value": 6.0}),
        typed("h", {"float_value": 1.5}, {"string_value": "7"}),
        {"event_date": "20240101", "event_timestamp": "1", "event_params": [], "user_id": None, "user_pseudo_id": "i"},
    ]
    rows += [event("far", "x", 10, event_timestamp=str(at)) for at in (-1, 2**62)]
    rows += [event("long", "x", ms) for ms in (2**62, 2**62, 10)]
    found, counts = both(server, tmp_path, "odd4", "ga4", rows)
    assert counts["records.rejected.event_timestamp_invalid"] == counts["records.rejected.engagement_invalid"] - 1 == 2
    assert found[b"a", b"x"] == (150.0, 1704067200999)
    assert found[b"h", b"42"][0] == 11.0
    assert counts["records.skipped.no_visitor_id"] == 2
    assert counts["records.skipped.no_content"] == 2
    assert counts["records.read"] == len(rows)
    found, _ = both(server, tmp_path, "odd4users", "ga4", rows, prefer_user_id=True)
    assert found[b"known", b"x"][0] == 20.0
    found, _ = both(server, tmp_path, "odd4pages", "ga4", rows, content_parameter="page_location")
    assert (b"a", b"https://example.com/x") in found


def test_a_window_leaves_other_days_and_intraday_tables_out(server):
    for table, content in (
        ("events_20240101", "one"),
        ("events_20240102", "two"),
        ("events_20240103", "three"),
        ("events_intraday_20240102", "open"),
        ("events_20240102_backup", "copy"),
        ("eventsrest_20240102", "else"),
    ):
        server.load("days", table, SCHEMAS["ga4"], [event("a", content, 10)])

    def contents(table="events_*", **source):
        made = settings(server.settings(), {"kind": "ga4", "input": f"bq://{PROJECT}.days.{table}"} | source)
        return {content.decode() for _, content in interactions(made)[0]}

    window = {"start_date": "2024-01-02", "end_date": "2024-01-02"}
    assert contents(**window) == {"two"}
    assert contents(**window, include_intraday=True) == {"two", "open"}
    assert contents() == {"one", "two", "three"}
    assert contents("events_20240103") == {"three"}
    assert contents(end_date="2024-01-02", window_days=2) == {"one", "two"}
    with pytest.raises(UserError, match=r"window 2025-01-01 to \.\.\.; they are of 2024-01-01 to 2024-01-03"):
        contents(start_date="2025-01-01")
    with pytest.raises(UserError, match="has no tables ga_sessions_YYYYMMDD; it has events_20240101"):
        contents("ga_sessions_*")


def test_tables_views_and_own_queries_give_interactions(server, tmp_path):
    field = bigquery.SchemaField
    schema = [field("who", "STRING"), field("what", "INTEGER"), field("stars", "FLOAT"), field("seen", "TIMESTAMP")]
    rows = [
        {"who": "a", "what": 1, "stars": 4.5, "seen": "2024-01-01 00:00:00"},
        {"who": "a", "what": 1, "stars": 2.0, "seen": "2024-01-03 00:00:00"},
        {"who": "b", "what": 2, "stars": 5.0, "seen": "2024-01-02 00:00:00.25"},
        {"who": "", "what": 3, "stars": 1.0, "seen": "2024-01-02 00:00:00"},
    ]
    server.load("shop", "ratings", schema, rows)
    server.rows("CREATE VIEW shop.good AS SELECT * FROM shop.ratings WHERE stars > 4")
    columns = {"visitor_column": "who", "content_column": "what", "rating_column": "stars", "time_column": "seen"}
    base = {"kind": "table"} | columns

    def found(**source):
        made = settings(server.settings(), base | source, rating={"kind": "linear"})
        pairs, _ = interactions(made)
        return {pair: amount for pair, (amount, _) in pairs.items()}

    assert found(input=f"bq://{PROJECT}.shop.ratings") == {(b"a", b"1"): 2.0, (b"b", b"2"): 5.0}
    assert found(input=f"bq://{PROJECT}.shop.good") == {(b"a", b"1"): 4.5, (b"b", b"2"): 5.0}
    query = tmp_path / "mine.sql"
    query.write_text("SELECT * FROM shop.ratings WHERE DATE(seen) BETWEEN @start_date AND @end_date;\n")
    window = {"start_date": "2024-01-01", "end_date": "2024-01-02"}
    assert found(query=str(query), **window) == {(b"a", b"1"): 4.5, (b"b", b"2"): 5.0}
    with pytest.raises(UserError, match=r"uses @start_date: set source\.start_date"):
        found(query=str(query))


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


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_service_are_one_line_that_says_what_to_do(server, name):
    method, status, reason, message, times, said = FAULTS[name]
    with contextlib.suppress(Exception):
        server.load("faulty", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    with relaying(server) as relay:
        relay.faults.append([f"{method} /bigquery/v2/projects/{PROJECT}/", status, reason, message, times])
        own = server.settings(endpoint=relay.url, retry_seconds=2)
        with pytest.raises(UserError, match=said) as raised:
            interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.faulty.events_*"}))
        tries = 99 - relay.faults[0][-1]
    assert "\n" not in str(raised.value)
    assert (tries > 1) == (name in ("quota", "service down")), "what may pass is tried again, and nothing else"


def test_passing_faults_are_tried_again_and_labels_and_limits_go_along(server):
    server.load("passing", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    with relaying(server) as relay:
        relay.faults.append(["POST", 503, "backendError", "try again", 2])
        own = server.settings(endpoint=relay.url, labels={"team": "news"}, maximum_bytes_billed=10**9, retry_seconds=30)
        found, _ = interactions(settings(own, {"kind": "ga4", "input": f"bq://{PROJECT}.passing.events_*"}))
        jobs = [body["configuration"] for _, path, body in relay.seen if path.split("?")[0].endswith("/jobs")]
    assert found == {(b"a", b"x"): (9.0, 1704067200000)}
    assert all(job["labels"] == {"team": "news"} for job in jobs)
    assert all(job["query"]["maximumBytesBilled"] == str(10**9) for job in jobs)
    made = [job for job in jobs if not job.get("dryRun")]
    assert made and all("expiration_timestamp" in job["query"]["query"] for job in made)


def test_a_query_over_the_limit_is_not_begun(server):
    server.load("dear", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.dear.events_*"}
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
    assert "name the tables of days" in said({"kind": "ga4", "input": f"bq://{PROJECT}.days.users"})
    server.load("other", "events_20240101", SCHEMAS["ga360"], [session("a", 1, [hit(1, 0, "x")])])
    assert "no ga4 export" in said({"kind": "ga4", "input": f"bq://{PROJECT}.other.events_*"})
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    no_credentials = {"project": PROJECT}
    assert "gcloud auth application-default login" in said(
        {"kind": "ga4", "input": f"bq://{PROJECT}.other.events_*"}, no_credentials
    )


def test_a_dry_run_prints_the_query_and_makes_nothing(server, tmp_path, capsys):
    server.load("dry", "ga_sessions_20240101", SCHEMAS["ga360"], [session("a", 1, [hit(1, 0, "x"), hit(2, 9)])])
    before = server.datasets(), server.tables("dry")
    config = tmp_path / "config.yaml"
    section = ", ".join(f"{key}: {value!r}" for key, value in server.settings().items())
    config.write_text(f"bigquery: {{{section}}}\ndataset_dir: {tmp_path}/out\nbeam: {{runner: FnApiRunner}}\n")
    flags = ["--config", str(config), "--input", f"bq://{PROJECT}.dry.ga_sessions_*", "--dry_run"]
    preprocess.main(flags)
    said = capsys.readouterr().out
    assert "-- @first_suffix STRING = '20240101'" in said and f"FROM `{PROJECT}.dry.ga_sessions_*`" in said
    assert "would read 0 bytes" in said  # the emulator's count of everything
    assert (server.datasets(), server.tables("dry")) == before and not (tmp_path / "out").exists()


def test_pipeline_then_train_says_what_each_would_do(server, tmp_path):
    """`make pipeline-then-train ARGS=--dry_run` on configs/gcp.yaml, its names replaced: the query, then both jobs."""
    server.load("analytics_123456789", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 9)])
    server.load("wals_temp", "none", SCHEMAS["ga4"], [])
    text = (ROOT / "configs" / "gcp.yaml").read_text()
    for word, value in (("PROJECT", PROJECT), ("REGION", "europe-west1"), ("BUCKET", "site-wals")):
        text = text.replace(word, value)
    tree = yaml.safe_load(text)
    tree["bigquery"] |= server.settings()
    config = tmp_path / "gcp.yaml"
    config.write_text(yaml.safe_dump(tree))
    command = ["make", "--no-print-directory", "--old-file=.venv/.ready", "pipeline-then-train"]
    done = subprocess.run(
        [*command, f"CONFIG={config}", "ARGS=--dry_run"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        f"FROM `{PROJECT}.analytics_123456789.events_*`",
        "-- 1 tables, 2024-01-01 to 2024-01-01",
        "-- would read 0 bytes",  # the emulator's count of everything
        "-- on DataflowRunner: ",
        "region=europe-west1",
        "machine_type=n2-highmem-4",
        f"sdk_container_image=europe-west1-docker.pkg.dev/{PROJECT}/wals/worker:0.1.0",
        f'"imageUri": "europe-west1-docker.pkg.dev/{PROJECT}/wals/trainer:0.1.0"',
        '"gs://site-wals/wals/dataset"',
    ):
        assert said in done.stdout
    assert server.tables("wals_temp") == ["none"]


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
        contents = {f"c{c}": 1000 for c in range(number % 2, 20, 2) if c != (number + 2) % 20}
        rows.append(reads(f"v{number}", contents))
    server.load("night", "ga_sessions_20240101", SCHEMAS["ga360"], rows)
    server.load("night_out", "other", SCHEMAS["ga360"], [])
    table = f"bq://{PROJECT}.night_out.predictions"
    paths = {key: str(tmp_path / key) for key in ("dataset_dir", "model_dir", "predictions_dir")}

    def made(**prediction):
        source = {"kind": "ga360", "input": f"bq://{PROJECT}.night.ga_sessions_*"}
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
        assert {row["model_version"] for row in found} == {manifest["model_version"]}
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
    manifest = json.loads((remote / "manifest.json").read_text())
    sink.load(made(table_keeps="run"), "gs://site/predictions", manifest)
    assert loaded() == expected
    sink.load(made(table_keeps="all"), "gs://site/predictions", manifest)

    with relaying(server) as relay:
        relay.faults.append(["POST /upload", 403, "accessDenied", "Access Denied: bigquery.tables.updateData", 1])
        endpoint = {"bigquery": made().bigquery.model_copy(update={"endpoint": relay.url})}
        with pytest.raises(UserError, match=r"was not touched .*loads them again.*no permission"):
            batch_predict.predict(made(table_keeps="run").model_copy(update=endpoint), [], replace=True)
        assert len(server.rows("SELECT * FROM night_out.predictions")) == 120
        relay.seen.clear()
        manifest = json.loads(Path(paths["predictions_dir"], "manifest.json").read_text())
        with pytest.raises(UserError, match="Invalid table id"):  # the emulator's: it knows no partition by name
            sink.load(made(table_days=30).model_copy(update=endpoint), paths["predictions_dir"], manifest)
        (asked,) = [body["configuration"]["load"] for _, path, body in relay.seen if "/upload/" in path and body]
    day = manifest["run_time"][:10].replace("-", "")
    assert asked["destinationTable"]["tableId"] == f"predictions${day}"  # a day's rows take the place of that day's
    assert asked["writeDisposition"] == "WRITE_TRUNCATE" and asked["clustering"] == {"fields": ["visitorId"]}
    assert asked["timePartitioning"] == {"type": "DAY", "field": "run_time", "expirationMs": str(30 * 86_400_000)}
    with pytest.raises(UserError, match="has other columns"):
        sink.check(made(table=f"bq://{PROJECT}.night_out.other"))
    with pytest.raises(UserError, match=r"prediction\.table .*not found"):
        sink.check(made(table=f"bq://{PROJECT}.nowhere.predictions"))


def test_the_queries_of_the_page_give_what_it_says(server, tmp_path):
    """docs/bigquery.md: views by a query of one's own, and the best of each visitor from the table of predictions."""
    page = (Path(__file__).parents[1] / "docs" / "bigquery.md").read_text(encoding="utf-8")
    views, best = re.findall(r"^```sql\n(.*?)^```", page, re.M | re.S)
    (rows,) = (part for part in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S) if "\n  query:" in part)
    server.load(
        "page",
        "events_20240102",
        SCHEMAS["ga4"],
        [event("a", "x", 5), event("a", "x"), event("b", "y"), event(None, "x")],
    )
    server.load("page", "events_20240201", SCHEMAS["ga4"], [event("late", "x")])
    query = tmp_path / "views.sql"
    sections = yaml.safe_load(rows)
    source = sections["source"] | {"query": str(query)}
    # The emulator resolves bounds of _TABLE_SUFFIX only where they are plain values.
    views = re.sub(r"FORMAT_DATE\('%Y%m%d', @(\w+)\)", lambda day: f"'{source[day[1]]:%Y%m%d}'", views)
    query.write_text(views.replace("PROJECT.analytics_123456789", f"{PROJECT}.page"))
    pairs, _ = interactions(settings(server.settings(), source, rating=sections["rating"]))
    assert {pair: amount for pair, (amount, _) in pairs.items()} == {(b"a", b"x"): 2.0, (b"b", b"y"): 1.0}

    kinds = {"visitorId": "STRING", "contentId": "STRING", "rank": "INTEGER", "run_time": "TIMESTAMP"}
    now = datetime.datetime.now(datetime.UTC)
    given = [
        {"visitorId": "a", "contentId": f"c{rank}", "rank": rank, "run_time": when.isoformat()}
        for rank in (3, 1, 2, 6)
        for when in (now, now - datetime.timedelta(days=1))
    ]
    server.load("page", "by_visitor", [bigquery.SchemaField(*each) for each in kinds.items()], given)
    found = server.rows(best.replace("PROJECT.recommendations", f"{PROJECT}.page"))
    assert found == [{"visitorId": "a", "contents": ["c1", "c2", "c3"]}]
