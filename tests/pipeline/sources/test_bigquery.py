"""BigQuery as a source, over REST and gRPC against an emulator: tables and files of the same rows are equal."""

import datetime
import re
from collections import Counter
from pathlib import Path

import grpc
import pytest
import yaml
from google.cloud import bigquery

from configs.errors import UserError
from configs.settings import BigQuerySettings, OutcomeSettings
from pipeline.inspection import inspection
from pipeline.inspection.sampling import tables
from pipeline.sources import inputs
from pipeline.sources.bigquery import source as bigquery_source
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists import ga4, ga360
from pipeline.sources.lists.reading import wide as read_source
from pipeline.sources.lists.rows import Asked
from pipeline.sources.select import source_of
from tests.support.bigquery_server import PROJECT, SCHEMAS, relaying_streams, settings
from tests.support.exports import SHARED, START, event, hit, interactions, session, write_ndjson

# Google's clients leave sockets to the collector, and the emulator's project has no quota of its own.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server(bigquery_server):
    return bigquery_server


def both(server, tmp_path, dataset, kind, rows, **source) -> tuple[dict, dict]:
    """Return the interactions of the same rows from a table and from a file, asserted equal, and their account."""
    prefix = {"ga360": "ga_sessions_", "ga4": "events_"}[kind]
    split = source.pop("split", {})
    if dataset not in server.datasets():
        server.load(dataset, f"{prefix}20240101", SCHEMAS[kind], rows)
    own = {"kind": kind, "input": f"bq://{PROJECT}.{dataset}.{prefix}*"} | source
    found, counts = interactions(settings(server.settings(), own, split=split))
    path = write_ndjson(tmp_path / f"{prefix}20240101.ndjson", rows)
    expected, expected_counts = interactions(settings({}, own | {"input": str(path)}, split=split))
    assert found == expected
    assert counts == expected_counts
    return found, counts


GOOGLE = {
    "ga4": (SHARED / "google" / "ga4_events.parquet", "events_20210131"),
    "ga360": (SHARED / "google" / "ga360_sessions_20170801.parquet", "ga_sessions_20170801"),
}


@pytest.fixture(scope="module")
def samples(server):
    """Google's public samples as tables of their real schemas; GA4's also in a table per month."""
    if not GOOGLE["ga4"][0].is_file():
        pytest.skip("Google's samples are not on this machine (WALS_SHARED_DATA)")
    for path, table in GOOGLE.values():
        server.load_parquet("sample", table, path)
    for month in ("202011", "202012", "202101"):
        rows = f"sample.events_20210131 WHERE STARTS_WITH(event_date, '{month}')"
        server.rows(f"CREATE TABLE sample.months_{month}28 AS SELECT * FROM {rows}")  # noqa: S608 - a constant
    return server


@pytest.mark.parametrize(
    ("preset", "tables", "name"),
    [("ga4_shop", "months_*", "Reach New Heights"), ("ga360_shop", "ga_sessions_*", "Category")],
)
def test_list_events_of_googles_samples_are_the_same_from_tables_and_files(samples, preset, tables, name):
    """Exposures, clicks and purchases, with the columns and rows that the lists need of BigQuery."""
    kind = preset.partition("_")[0]
    asked, found = Asked(OutcomeSettings(list_name=name)), []
    for section, place in ((samples.settings(), f"bq://{PROJECT}.sample.{tables}"), ({}, str(GOOGLE[kind][0]))):
        made = settings(section, {"preset": preset, "input": place})
        wide = made.model_copy(update={"source": read_source(made.source, asked)})
        rules, counts, rows = PageRules(made.source.page_rules), Counter(), []
        with inputs.opened(wide) as opened:
            source = source_of(wide.source, wide.rating, read=opened.read)
            for path in opened.files:
                for raw in source.read(path):
                    extract = {"ga4": ga4, "ga360": ga360}[kind].rows(raw, made.source, rules, asked)
                    rows += extract.table.filter(extract.table["ours"]).to_pylist()
                    counts += extract.counts
        found.append((sorted(map(str, rows)), counts))
    assert found[0] == found[1] and len(found[0][0]) > 200


@pytest.mark.parametrize(
    ("preset", "tables"),
    [
        ("ga4_shop", "months_*"),
        ("ga4_pages", "months_*"),
        ("ga4_articles", "months_*"),
        ("ga360_pages", "ga_sessions_*"),
        ("ga360_shop", "ga_sessions_*"),
    ],
)
def test_googles_samples_give_the_same_from_tables_and_files(samples, preset, tables):
    own = {"preset": preset, "input": f"bq://{PROJECT}.sample.{tables}"}
    own |= {"item_parameter": "page_location"} if preset == "ga4_articles" else {}  # of all events
    found, counts = interactions(settings(samples.settings(), own))
    path = GOOGLE[preset.partition("_")[0]][0]
    expected, expected_counts = interactions(settings({}, own | {"input": str(path)}))
    assert found == expected  # amounts and times, to the millisecond
    assert len(found) > 1000
    expected_counts["records.read"] -= expected_counts.pop("records.skipped.no_signal", 0)  # these stay in BigQuery
    assert {name: counts[name] for name in counts if "seen." not in name} == {
        name: expected_counts[name] for name in expected_counts if "seen." not in name
    }
    assert not any(name.startswith("wals_temp") for name in samples.datasets())


def test_odd_sessions_are_the_same_from_a_table(server, tmp_path):
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
    rows += [session("far", 16, [hit(1, 0, "x"), hit(2, 10)]) | {"visitStartTime": str(at)} for at in (-1, 0, 2**62)]
    rows.append(session("far hit", 17, [hit(1, 0, "x"), hit(2, 2**62, "y"), hit(3, 20)]))
    twice = hit(1, 0, "first")
    twice["customDimensions"].append({"index": "10", "value": "later"})
    rows.append(session("dimension twice", 15, [twice, hit(2, 5)]))
    found, counts = both(server, tmp_path, "odd360", "ga360", rows)
    assert found[b"over midnight", b"x"] == (800.0, START * 1000 + 5900)
    assert (b"dimension twice", b"later") in found
    assert counts["records.rejected.visit_start_time_invalid"] == 4 and counts["hits.rejected.hit_time_invalid"] == 2
    both(server, tmp_path, "odd360", "ga360", rows, visitor_key="visit")
    cut = {"kind": "time", "time": "2024-01-01T00:00:05.800"}
    found, _ = both(server, tmp_path, "odd360", "ga360", rows, split=cut)
    assert found[b"over midnight", b"x"] == (700.0, START * 1000 + 5000) and (b"ties", b"b", "held out") in found
    window = {"start_date": "2024-01-02", "end_date": "2024-01-02"}
    with pytest.raises(UserError, match=r"no table of .* is of the window"):
        both(server, tmp_path, "odd360", "ga360", rows, **window)


def test_odd_events_are_the_same_from_a_table(server, tmp_path):
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
        event("i", None, event_params=[]),
    ]
    twice = typed("i", {"string_value": "tea"}, {"int_value": "8"})
    twice["event_params"].append(param("content_id", string_value="aaa"))
    named = event("n", "x", 30, event_name="page_view")
    rows += [twice, named, named, named | {"event_name": "scroll"}, named | {"event_bundle_sequence_id": "2"}]
    rows += [event("undefined", "x", 9), event("o", "(not set)", 9), event("o", "x", 9, user_id="null")]
    rows += [typed("p", {"double_value": value}, {"int_value": "1"}) for value in (9780306406157.0, 1e16, 2.0**60)]
    rows += [event("far", "x", 10, event_timestamp=str(at)) for at in (-1, 0, 2**62)]
    rows += [event("long", "x", ms) for ms in (2**62, 2**62, 10)]
    found, counts = both(server, tmp_path, "odd4", "ga4", rows)
    assert counts["records.rejected.event_timestamp_invalid"] == counts["records.rejected.engagement_invalid"] == 3
    assert found[b"a", b"x"] == (150.0, 1704067200999)
    assert found[b"h", b"42"][0] == 11.0
    assert (found[b"i", b"tea"][0], found[b"n", b"x"][0]) == (8.0, 90.0)
    assert found.keys() >= {(b"p", b"9780306406157"), (b"p", b"10000000000000000")}
    assert counts["records.rejected.content_id_inexact"] == counts["views.skipped.duplicate_event"] == 1
    assert counts["records.skipped.no_visitor_id"] == 3
    assert counts["records.skipped.no_item"] == 3
    assert counts["records.read"] == len(rows)
    both(server, tmp_path, "odd4", "ga4", rows, drop_duplicate_events=False)
    found, _ = both(server, tmp_path, "odd4", "ga4", rows, prefer_user_id=True)
    assert found[b"known", b"x"][0] == 20.0
    found, _ = both(server, tmp_path, "odd4", "ga4", rows, item_parameter="page_location")
    assert (b"a", b"example.com/x") in found


def test_a_window_leaves_other_days_and_intraday_tables_out(server):
    for table, content in (
        ("events_20240101", "one"),
        ("events_20240102", "two"),
        ("events_20240103", "three"),
        ("events_intraday_20240102", "open"),
        ("events_fresh_20240102", "open"),
        ("events_intraday_20240104", "early"),
        ("events_fresh_20240104", "fresh"),
        ("events_intraday_20240105", "today"),
        ("events_20240102_backup", "copy"),
        ("eventsrest_20240102", "else"),
    ):
        day = re.search(r"\d{8}", table)[0]
        server.load("days", table, SCHEMAS["ga4"], [event("a", content, 10, event_date=day)])

    def items(table="events_*", **source):
        made = settings(server.settings(), {"kind": "ga4", "input": f"bq://{PROJECT}.days.{table}"} | source)
        return {content.decode() for _, content in interactions(made)[0]}

    window = {"start_date": "2024-01-02", "end_date": "2024-01-02"}
    assert items(**window) == {"two"}
    assert items(**window, include_intraday=True) == {"two"}
    assert items(start_date="2024-01-03", include_intraday=True) == {"three", "fresh", "today"}
    assert items() == {"one", "two", "three"}
    assert items("events_20240103") == {"three"}
    assert items(end_date="2024-01-02", window_days=2) == {"one", "two"}
    with pytest.raises(UserError, match=r"window 2025-01-01 to \.\.\.; they are of 2024-01-01 to 2024-01-03"):
        items(start_date="2025-01-01")
    with pytest.raises(UserError, match="has no tables ga_sessions_YYYYMMDD; it has events_20240101"):
        items("ga_sessions_*")


def test_only_the_columns_and_events_of_the_signals_are_read(server, tmp_path):
    rows = [event("a", "x", 10), event("b", "y", 20, event_name="scroll"), event("c", "z", 30, event_name="it's")]
    server.load("pruned", "events_20240101", SCHEMAS["ga4"], rows)
    extra = bigquery.SchemaField("device", "RECORD", fields=[bigquery.SchemaField("category", "STRING")])
    older = [field for field in SCHEMAS["ga4"] if field.name != "user_id"]
    server.load("pruned", "events_20240102", [extra, *older], [event("d", "x", 40, event_name="scroll")])
    signals = [{"event": ["scroll", "it's"], "item": "param.content_id", "dwell": True}]
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.pruned.events_*", "signals": signals}
    with relaying_streams(server) as relay:
        made = settings(server.settings(storage_endpoint=relay.url), source)
        found, counts = interactions(made)
    assert {visitor for visitor, _ in found} == {b"b", b"c", b"d"} and counts["records.read"] == 3
    restriction = r"event_name IN ('it\'s', 'scroll')"
    assert [session.read_options.row_restriction for session in relay.sessions] == [restriction] * 2
    first, second = (set(session.read_options.selected_fields) for session in relay.sessions)
    assert first - second in ({"user_id"}, set()) or second - first == {"user_id"}
    assert {"event_date", "event_params.key", "event_params.value.int_value", "user_pseudo_id"} <= first & second
    assert not any(name.startswith("device") or name == "event_params" for name in first | second)
    said = bigquery_source.describe(settings(server.settings(), source))
    assert f"-- its rows with {restriction}\n-- 2 tables, 2024-01-01 to 2024-01-02\n-- would read " in said
    assert "event_params.value.string_value" in said and "SELECT" not in said


def test_a_table_that_cannot_be_read_directly_is_read_by_a_query(server):
    server.load("indirect", "events_20240101", SCHEMAS["ga4"], [event("a", "x", 10), event("b", None, 5)])
    source = {"kind": "ga4", "input": f"bq://{PROJECT}.indirect.events_20240101"}
    before = server.datasets()
    direct = interactions(settings(server.settings(), source))
    with relaying_streams(server, refuses=[grpc.StatusCode.INVALID_ARGUMENT]) as relay:
        made = settings(server.settings(storage_endpoint=relay.url), source)
        assert interactions(made) == direct
        assert relay.sessions[0].table.endswith("/tables/events_20240101")
        assert "/tables/interactions_" in relay.sessions[1].table
        relay.refuses = [grpc.StatusCode.PERMISSION_DENIED]
        with pytest.raises(UserError, match=r"events_20240101: no permission \(refused\); .*docs/permissions\.md"):
            interactions(made)
    assert server.datasets() == before


def test_a_whole_table_or_view_is_read_as_arrow(server):
    field = bigquery.SchemaField
    schema = [field("contentId", "STRING"), field("price", "FLOAT"), field("tags", "STRING", "REPEATED")]
    rows = [{"contentId": "a", "price": 1.5, "tags": ["x", "y"]}, {"contentId": "b", "price": None, "tags": []}]
    server.load("catalogue", "items", schema, rows)
    server.load("catalogue", "empty", schema, [])
    server.rows("CREATE VIEW catalogue.dear AS SELECT * FROM catalogue.items WHERE price > 1")

    def read(table):
        section = settings(server.settings(), {"input": "x"}).bigquery
        return bigquery_source.read_table(f"bq://{PROJECT}.catalogue.{table}", "dataset.catalogue", section)

    assert read("items").to_pylist() == rows and read("dear").to_pylist() == rows[:1]
    assert read("empty").num_rows == 0 and read("empty").column_names == ["contentId", "price", "tags"]
    made = settings(server.settings(), {"input": "x"})
    made = made.model_copy(update={"catalogue": f"bq://{PROJECT}.catalogue.items"})
    assert inputs.read_catalogue(made).to_pylist() == rows
    with pytest.raises(UserError, match=r"catalogue\.none: not found"):
        read("none")


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
    columns = {"visitor_column": "who", "item_column": "what", "rating_column": "stars", "time_column": "seen"}
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


def test_the_queries_of_the_page_give_what_it_says(server, tmp_path):
    """docs/bigquery.md: views by a query of one's own, and the best of each visitor from the table of predictions."""
    page = (Path(__file__).parents[3] / "docs" / "bigquery.md").read_text(encoding="utf-8")
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
    assert found == [{"visitorId": "a", "items": ["c1", "c2", "c3"]}]


@pytest.mark.parametrize("kind", ["ga4", "ga360"])
def test_inspect_sees_the_same_in_tables_as_in_files(samples, kind):
    url = f"bq://{PROJECT}.sample.{'months_*' if kind == 'ga4' else 'ga_sessions_*'}"
    table = inspection.inspect(url, bigquery=BigQuerySettings(**samples.settings()))
    file = inspection.inspect(str(GOOGLE[kind][0]))
    for seen in (table, file):
        seen.facts.candidates = [each._replace(examples=()) for each in seen.facts.candidates]  # ties, in any order
    assert table.facts == file.facts and table.interest.windows == file.interest.windows
    assert table.proposal.presets == file.proposal.presets and table.sample.share == 1
    assert "bigquery:\n  project: test-project\n" in table.config


def test_inspect_reads_evenly_chosen_tables(server):
    rows = [event(f"v{visitor}", "i1", 100, event_name="page_view") for visitor in range(3)]
    for day in range(1, 6):
        server.load("inspected", f"events_2024010{day}", SCHEMAS["ga4"], rows)
    url, service = f"bq://{PROJECT}.inspected.events_*", BigQuerySettings(**server.settings())
    sample = tables.take(url, service, most_bytes=3 << 24)
    assert (sample.files, sample.opened, sample.rows) == (5, 3, 9) and sample.share == pytest.approx(0.6)
    assert [path[-2:] for path, _ in sample.batches] == ["01", "03", "05"]
    server.rows(f"CREATE VIEW `{PROJECT}.inspected.viewed` AS SELECT * FROM inspected.events_20240101")  # noqa: S608
    for name, said in {"viewed": "is a view", "nothing": "not found"}.items():
        with pytest.raises(UserError, match=said):
            tables.take(f"bq://{PROJECT}.inspected.{name}", service)
