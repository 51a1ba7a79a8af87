"""Files -> records: the same from every format, odd records kept aside, damaged files named."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.readers.files import ExportReader, TableReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.records import without_values
from pipeline.sources import ga4, ga360, table
from pipeline.sources.select import source_of
from tests.support.exports import START, event, hit, interactions, session, settings, write_ndjson


def read(path, schema=ga360.SCHEMA, **sizes):
    batches = list(ExportReader(schema, NdjsonReader(schema, **sizes)).read(str(path)))
    records = [row for batch in batches for row in batch.columns.to_pylist()]
    numbers = [int(number) for batch in batches for number in batch.numbers]
    return records, numbers, [bad for batch in batches for bad in batch.malformed]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "named-like-a.avro"])
def test_what_a_file_holds_is_told_by_its_item(tmp_path, name):
    path = write_ndjson(tmp_path / name, [session("1", 5, [hit(1, 0, "x")])])
    (record,), numbers, malformed = read(path)
    assert record["fullVisitorId"] == "1"
    dimension = record["hits"][0]["customDimensions"][1]
    assert (int(dimension["index"]), dimension["value"]) == (10, "x")  # a string, or a number behind the first reads
    assert (numbers, malformed) == ([1], [])


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 24])
def test_blocks_of_any_size_give_the_same_records(tmp_path, size):
    rows = [session(str(n), n, [hit(1, 0, "ü" * n)]) for n in range(20)]
    records, numbers, _ = read(write_ndjson(tmp_path / "a", rows), block_bytes=size)
    assert [record["fullVisitorId"] for record in records] == [str(n) for n in range(20)]
    assert numbers == list(range(1, 21))


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_parquet_of_several_row_groups_is_read_whole(tmp_path, rows):
    sessions = [session(str(n), n, [hit(1, 0, f"item {n}"), hit(2, 5, f"item {n // 2}")]) for n in range(20)]
    # The dictionary of a row group is full at once, so that the rest of its text is written plain.
    table = pa.Table.from_pylist(sessions)
    pyarrow.parquet.write_table(table, tmp_path / "p", row_group_size=rows, dictionary_pagesize_limit=8)
    raws = list(ExportReader(ga360.SCHEMA).read(str(tmp_path / "p")))
    assert [number for raw in raws for number in raw.numbers] == list(range(1, 21))
    views = [view for raw in raws for view in ga360.extract(raw, "p", SourceSettings()).table.to_pylist()]
    items = [f"item {n // part}".encode() for n in range(20) for part in (1, 2)]
    assert [(view["visitorId"], view["contentId"]) for view in views] == [
        (str(n // 2).encode(), item) for n, item in enumerate(items)
    ]


def test_parquet_columns_without_values_are_not_read(tmp_path):
    fields = {"customDimensions": [{"index": 10, "value": "x"}], "product": [{"customDimensions": [{}]}]}
    sessions = [{"date": "20240101", "visitId": n, "visitNumber": None, "hits": [fields]} for n in (1, None)]
    hit = [("customDimensions", pa.list_(pa.struct([("index", pa.int64()), ("value", pa.string())])))]
    hit += [("product", pa.list_(pa.struct(hit)))]
    schema = pa.schema([("date", pa.string()), ("visitId", pa.int64()), ("visitNumber", pa.int64())])
    schema = schema.append(pa.field("hits", pa.list_(pa.struct(hit))))
    pyarrow.parquet.write_table(pa.Table.from_pylist(sessions, schema), tmp_path / "p", row_group_size=1)
    (first, second) = ExportReader(ga360.SCHEMA).read(str(tmp_path / "p"))
    assert first.columns.schema.names == ["date", "visitId", "hits"]
    assert first.columns.schema.field("hits").type.value_type.names == ["customDimensions"]
    assert second.columns["visitId"].to_pylist() == [None]
    pyarrow.parquet.write_table(pa.table({"visitId": pa.nulls(1, pa.int64())}), tmp_path / "n")
    (only,) = ExportReader(ga360.SCHEMA).read(str(tmp_path / "n"))
    assert only.columns.to_pylist() == [{"visitId": None}]


def test_integers_as_json_numbers_and_as_strings_give_the_same(tmp_path):
    plain = session("1", 5, [hit(1, 20, "x")])
    numbers = json.loads(json.dumps(plain))
    numbers.update(visitId=5, visitStartTime=START + 5, visitNumber=1)
    numbers["hits"][0].update(hitNumber=1, time=20)
    for dimension in numbers["hits"][0]["customDimensions"]:
        dimension["index"] = int(dimension["index"])
    source = SourceSettings()
    found = [
        next(
            ga360.extract(raw, "p", source).table.to_pylist()
            for raw in ExportReader(ga360.SCHEMA).read(str(write_ndjson(tmp_path / name, rows)))
        )
        for name, rows in (("a", [plain]), ("b", [numbers]), ("c", [plain, numbers, "odd"]))
    ]
    assert found[0] == found[1] == found[2][:1] == found[2][1:]


def test_a_record_that_is_no_session_is_kept_aside_with_its_place(tmp_path):
    rows = [
        session("1", 5, []),
        b"{oops",
        b"",
        b"[1]",
        session("2", 6, []) | {"hits": {"time": 1}},
        session("3", 7, []),
    ]
    records, numbers, malformed = read(write_ndjson(tmp_path / "a", rows))
    assert [record["fullVisitorId"] for record in records] == [b"1", b"3"]
    assert numbers == [1, 6]
    assert [number for number, _ in malformed] == [2, 4, 5]
    assert malformed[2][1] == "hits is not a list"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda data: data[:-20], r"a, after record 1: the last record, 2, ends within its JSON"),
        (lambda data: gzip.compress(data * 50)[:-30], "Compressed file ended before the end-of-stream"),
        (lambda data: b"\x89PNG\r\n\x1a\n" + data, "a is not newline-delimited JSON, Avro or Parquet"),
        (lambda data: b"PAR1" + data, "a, after record 0:"),
        (lambda data: b"Obj\x01" + data, "a, after record 0:"),
    ],
    ids=["truncated", "truncated gzip", "an image", "no Parquet", "no Avro"],
)
def test_a_damaged_file_is_named(tmp_path, make, said):
    path = write_ndjson(tmp_path / "a", [session("1", 5, []), session("2", 6, [])])
    path.write_bytes(make(path.read_bytes()))
    with pytest.raises(UserError, match=said):
        read(path)


def extract(mod, tmp_path, rows, **source):
    path = write_ndjson(tmp_path / "export", rows)
    found = source_of(SourceSettings(kind=mod.__name__.rsplit(".", 1)[1], **source), RatingSettings())
    (raw,) = found.read(str(path))
    return found.extract(raw, "export")


def reasons(found):
    return sorted(json.loads(line)["reason"] for line in found.rejects)


def test_ga360_pages_and_their_account(tmp_path):
    hits = [hit(1, 0), hit(2, 10, "x"), hit(3, 20, "x", "EVENT"), hit(4, 30, "y")]
    rows = [session("a", 7, hits), session("a", 8, [hit(1, 0)]), session("b", 9, [hit(1, 0, "z")], day="20240105")]
    found = extract(ga360, tmp_path, rows, end_date="2024-01-04")
    views = [(v["visitorId"], v["visitId"], v["hit_time_ms"], v["contentId"]) for v in found.table.to_pylist()]
    assert views == [(b"a", 7, 0, None), (b"a", 7, 10, b"x"), (b"a", 7, 30, b"y"), (b"a", 8, 0, None)]
    counts = {name: count for name, count in found.counts.items() if not name.startswith("seen.")}
    assert counts == {
        "records.read": 3,
        "records.skipped.outside_window": 1,
        "records.skipped.no_item": 1,
        "hits.read": 5,
        "hits.skipped.no_signal": 1,
        "items.read": 4,
        "items.skipped.no_item": 2,
    }


def test_a_date_of_any_bytes_is_no_day(tmp_path):
    rows = [session("a", 1, [hit(1, 0, "x")], day=day) for day in ("20240101", "lone", "\u0662" * 8, "2" * 9, None)]
    lines = [json.dumps(row).replace("lone", r"\ud800").encode() for row in rows]
    found = extract(ga360, tmp_path, lines)
    assert found.table.num_rows == 5  # no window is set
    assert {name: count for name, count in found.counts.items() if name.startswith("seen.date")} == {
        "seen.date.20240101": 1
    }
    assert extract(ga360, tmp_path, lines, start_date="2024-01-01", end_date="2024-01-31").table.num_rows == 1


def test_ga360_rejects_say_why(tmp_path):
    rows = [
        session(None, 1, []),
        session("", 1, []),
        session("a\nb", 1, []),
        session("a", 1, [], visitId="x"),
        session("a", 1, [], visitStartTime=None),
        session("a", 2, [hit(1, 0, ""), hit(2, 5, "b\rc"), hit(3, -1, "d"), hit(4, "x", "e"), hit(5, 9, "f")]),
        json.dumps(session("lone", 3, [])).replace("lone", r"\ud800").encode(),
        json.dumps(session("bad", 3, [])).encode().replace(b"bad", b"\xff\xfe"),
    ]
    found = extract(ga360, tmp_path, rows)
    assert reasons(found) == [
        "content_id_newline",
        "hit_time_invalid",
        "hit_time_invalid",
        "visit_id_invalid",
        "visit_start_time_invalid",
        "visitor_id_empty",
        "visitor_id_missing",
        "visitor_id_newline",
        "visitor_id_not_utf8",
        "visitor_id_not_utf8",
    ]
    assert [json.loads(line)["record"] for line in found.rejects if b"hit_time" in line] == [6, 6]
    # A page whose content cannot be kept still ends the dwell of the page before.
    assert [v["contentId"] for v in found.table.to_pylist()] == [None, None, b"f"]


def test_ga360_visits_as_visitors_and_the_greatest_of_two_values(tmp_path):
    twice = hit(1, 0, "a") | {"customDimensions": [{"index": "10", "value": value} for value in ("b", "c", "a")]}
    row = session("v", 7, [twice, hit(2, 5, "d")], visitNumber="3")
    found = extract(ga360, tmp_path, [row], visitor_key="visit")
    assert [(v["visitorId"], v["contentId"]) for v in found.table.to_pylist()] == [(b"v-3", b"c"), (b"v-3", b"d")]


def test_ga4_engagement_users_and_their_account(tmp_path):
    rows = [
        event("p", "x", 100),
        event("p", "x"),
        event("p", None, 50),
        event(None, "x", 70),
        event("p", "y", 30, user_id="u"),
        event("p", "z", -5),
        event("p\n", "z", 5),
    ]
    found = extract(ga4, tmp_path, rows)
    assert [(r["visitorId"], r["contentId"], r["amount"]) for r in found.table.to_pylist()] == [
        (b"p", b"x", 100),
        (b"p", b"x", 0),
        (b"p", b"y", 30),
    ]
    assert reasons(found) == ["engagement_invalid", "visitor_id_newline"]
    assert found.counts["records.skipped.no_visitor_id"] == 1
    assert found.counts["records.skipped.no_item"] == 1
    assert found.counts["seen.parameter.content_id"] == 5
    preferred = extract(ga4, tmp_path, rows[:5], prefer_user_id=True)
    assert [r["visitorId"] for r in preferred.table.to_pylist()] == [b"p", b"p", b"u"]


def test_ga4_page_location_loses_query_and_fragment(tmp_path):
    found = extract(ga4, tmp_path, [event("p", "x", 1), event("p", "a\nb", 1)], item_parameter="page_location")
    assert [r["contentId"] for r in found.table.to_pylist()] == [b"example.com/x"]
    assert reasons(found) == ["content_id_newline"]


@pytest.mark.parametrize(
    ("value", "text"),
    [({"string_value": "007 "}, b"007 "), ({"int_value": "12"}, b"12"), ({"double_value": 1.5}, b"1.5"),
     ({"float_value": 3.0}, b"3"), ({}, None)],
)  # fmt: skip
def test_ga4_a_parameter_sits_in_one_of_four_fields(tmp_path, value, text):
    row = event("p", None, 5)
    row["event_params"].append({"key": "content_id", "value": value})
    found = extract(ga4, tmp_path, [row]).table.to_pylist()
    assert [r["contentId"] for r in found] == ([text] if text else [])


def read_table(path, rating=None, **source):
    settings = SourceSettings(kind="table", **source)
    extracts = [
        table.extract(raw, "t", settings, rating or RatingSettings())
        for raw in TableReader(table.column_names(settings)).read(str(path))
    ]
    rows = [tuple(row.values()) for found in extracts for row in found.table.to_pylist()]
    return rows, [json.loads(line) for found in extracts for line in found.rejects]


CSV = """visitorId,contentId,ms,when
007 ,"x,1",5,2024-01-01T00:00:01Z
a,y
,y,1,2024-01-01
b,y,nan,2024-01-02
"c
d",y,1,2024-01-02
e,z,2,
f,ß,2.5,2024-01-02 00:00:00
"""


def test_csv_keeps_ids_and_sets_odd_rows_aside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    rows, rejects = read_table(path, duration_column="ms", time_column="when")
    assert rows == [(b"007 ", b"x,1", 5.0, 1704067201000), (b"f", "ß".encode(), 2.5, 1704153600000)]
    assert sorted((r["record"], r["reason"]) for r in rejects) == [
        (2, "malformed"),
        (3, "visitor_id_empty"),
        (4, "duration_invalid"),
        (5, "visitor_id_newline"),
        (6, "time_invalid"),
    ]


def test_parquet_tables_of_several_types_and_a_window(tmp_path):
    path = tmp_path / "t.parquet"
    when = pa.array(
        [np.datetime64("2024-01-01T10:00", "us"), np.datetime64("2024-01-02T10:00", "us"), None], pa.timestamp("us")
    )
    columns = {"u": [12, 13, 14], "c": pa.array(["a", "b", "c"]).dictionary_encode(), "stars": [5, 0, 1], "t": when}
    pyarrow.parquet.write_table(pa.table(columns), path)
    names = {"visitor_column": "u", "item_column": "c", "rating_column": "stars", "time_column": "t"}
    rows, rejects = read_table(path, RatingSettings(kind="linear"), **names)
    assert [row[:3] for row in rows] == [(b"12", b"a", 5.0), (b"13", b"b", 0.0)]
    assert [r["reason"] for r in rejects] == ["time_invalid"]
    rows, _ = read_table(path, RatingSettings(kind="linear"), **names, start_date="20240102")
    assert [row[0] for row in rows] == [b"13"]


def test_ordinal_answers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("visitorId,contentId,answer\na,x,Love\na,y,Dislike\na,z,Meh\n")
    answers = {"Dislike": 0, "Neutral": 1 / 3, "Like": 2 / 3, "Love": 1}
    rows, rejects = read_table(path, RatingSettings(kind="ordinal", ordinal=answers), rating_column="answer")
    assert [row[2] for row in rows] == [1.0, 0.0]
    assert [(r["record"], r["reason"]) for r in rejects] == [(3, "answer_without_rating")]


def test_a_table_with_neither_dwell_nor_rating_weighs_each_row_1(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("contentId,visitorId\nx,a\nx,a\n")
    assert [row[:3] for row in read_table(path)[0]] == [(b"a", b"x", 1.0)] * 2


def _twice_gzip(data: bytes) -> bytes:
    """Return what gzip makes of what gzip makes, without the time: the test's name contains it, for all workers."""
    return gzip.compress(gzip.compress(data, mtime=0), mtime=0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1,2\n", "t has no column visitorId among its 2 columns: the first line must be a header"),
        (b"ann@example.org,tea,5\n", "t has no column visitorId among its 3 columns: the first line must be"),
        (b'{"visitorId":"ann@example.org"}\n', "t has no column visitorId among its 1 columns"),
        (b"VisitorID,contentId\nann@example.org,tea\n", "t has no column visitorId; it has 'VisitorID'"),
        (b"Obj\x01" + bytes(30), "t is not CSV or Parquet but Avro"),
        (_twice_gzip(b"visitorId,contentId\n"), "t is not CSV or Parquet but gzip; decompress it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "t is not CSV or Parquet but an old Excel file; save the sheet as CSV"),
        (b"\x04\x22\x4d\x18tea", "t is not CSV or Parquet but lz4; decompress it"),
        (b"\n<!DOCTYPE html>\n<p>tea", "t is not CSV or Parquet but HTML or XML"),
        (b"visitorId,visitorId,contentId\na,b,c\n", "t, after record 0: its header has the column visitorId twice"),
        (b"PAR1" + bytes(30), "t, after record 0: .*; export the file again"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, data, said):
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said) as error:
        read_table(path)
    assert "ann@example.org" not in str(error.value) and "tea" not in str(error.value)


NOT_AN_ID = {
    "a list": (pa.array([["zoe"]]), "visitorId is list of string, and not a single value"),
    "records": (pa.array([[{"zoe": 1}]]), "visitorId is list of struct, and not a single value"),
    "a record": (pa.array([{"zoe": 1}]), "visitorId is struct, and not a single value"),
    "a map": (pa.array([[("zoe", 1)]], pa.map_(pa.string(), pa.int64())), "visitorId is map, and not a single value"),
}


@pytest.mark.parametrize("name", NOT_AN_ID)
def test_parquet_columns_that_cannot_be_ids_are_refused_for_it(tmp_path, name):
    column, said = NOT_AN_ID[name]
    pyarrow.parquet.write_table(pa.table({"visitorId": column, "contentId": ["tea"]}), tmp_path / "t")
    with pytest.raises(UserError, match=said) as error:
        read_table(tmp_path / "t")
    assert "zoe" not in str(error.value)


def test_parquet_columns_that_are_missing_or_there_twice_are_refused_for_it(tmp_path):
    pyarrow.parquet.write_table(pa.table({"user": ["ann"], "contentId": ["tea"]}), tmp_path / "t")
    with pytest.raises(UserError, match="no column visitorId among its 2 columns: name those that count in source"):
        read_table(tmp_path / "t")
    twice = pa.Table.from_arrays([pa.array(["a"])] * 3, ["visitorId", "contentId", "visitorId"])
    pyarrow.parquet.write_table(twice, tmp_path / "t")
    with pytest.raises(UserError, match="t, after record 0: it has the column visitorId twice"):
        read_table(tmp_path / "t")


PARAMETER = {"key": "content_id", "value": {"string_value": "tea"}}
OTHER_FORMS = {
    "a value that is text": (
        {"event_params": [PARAMETER | {"value": "tea"}]}, "event_params.value is string, and not a record",
    ),
    "a key that is a list": (
        {"event_params": [PARAMETER | {"key": ["content_id"]}]}, "event_params.key is list of string, and not a single",
    ),
    "a visitor that is a record": ({"user_pseudo_id": {"zoe": 1}}, "user_pseudo_id is struct, and not a single value"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_records_of_another_form_are_refused_for_it(tmp_path, name):
    change, said = OTHER_FORMS[name]
    row = {"event_timestamp": 1704067200000000, "user_pseudo_id": "a", "event_params": [PARAMETER]} | change
    pyarrow.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "t")
    with pytest.raises(UserError, match=said) as error:
        list(source_of(SourceSettings(kind="ga4"), RatingSettings()).read(str(tmp_path / "t")))
    assert "zoe" not in str(error.value)


def test_a_window_over_a_table_needs_its_time():
    with pytest.raises(UserError, match=r"start_date and end_date need source.time_column"):
        table.column_names(SourceSettings(kind="table", start_date="20240101"))


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        ({"start_date": "20240104", "end_date": "20240104"}, ["20240104"]),
        ({"start_date": "2024-01-04"}, ["20240104", "20240105"]),
        ({"end_date": "2024-01-04"}, ["20240103", "20240104"]),
    ],
)
def test_both_ends_of_the_window_are_in_it(tmp_path, window, kept):
    days = ["20240103", "20240104", "20240105"]
    sessions = extract(ga360, tmp_path, [session(day, 1, [hit(1, 0, "x")], day=day) for day in days], **window)
    assert [view["visitorId"].decode() for view in sessions.table.to_pylist()] == kept
    events = extract(ga4, tmp_path, [event(day, "x", 1) | {"event_date": day} for day in days], **window)
    assert [row["visitorId"].decode() for row in events.table.to_pylist()] == kept


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_text_of_any_layout_is_read(tmp_path, kind):
    params = [{"key": "content_id", "value": {"string_value": "tea", "int_value": None}}]
    text = pa.string() if kind == "dictionary" else getattr(pa, kind)()
    nested = pa.string() if kind == "string_view" else text  # Arrow does not write views in lists
    value = pa.struct([("string_value", nested), ("int_value", pa.int64())])
    columns = {
        "event_date": pa.array(["20240101"] * 2, text),
        "event_timestamp": pa.array([1704067200000000, 1704067200000001]),
        "user_pseudo_id": pa.array(["a", "b"], text),
        "event_params": pa.array([params] * 2, pa.list_(pa.struct([("key", nested), ("value", value)]))),
    }
    if kind == "dictionary":
        columns |= {name: columns[name].dictionary_encode() for name in ("event_date", "user_pseudo_id")}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "e.parquet")
    source = source_of(SourceSettings(kind="ga4", start_date="20240101"), RatingSettings())
    (raw,) = source.read(str(tmp_path / "e.parquet"))
    found = source.extract(raw, "e").table.to_pylist()
    assert [(row["visitorId"], row["contentId"]) for row in found] == [(b"a", b"tea"), (b"b", b"tea")]
    pyarrow.parquet.write_table(
        pa.table({"visitorId": columns["user_pseudo_id"], "contentId": columns["event_date"]}), tmp_path / "t"
    )
    assert [row[:2] for row in read_table(tmp_path / "t")[0]] == [(b"a", b"20240101"), (b"b", b"20240101")]


@pytest.mark.parametrize(
    "error",
    [
        pa.ArrowInvalid("Failed to parse string: 'ann@example.org' as a scalar of type double"),
        pa.ArrowInvalid("Failed to convert JSON to int64, couldn't parse:ann@example.org"),
        TypeError('Expected bytes, got "ann@example.org" object'),
        pa.ArrowInvalid("Could not convert 'ann@example.org' with type str: tried to convert to int64"),
        ValueError("the record's id 'ann@example.org' does not have an id's form"),
    ],
)
def test_a_message_loses_the_values_in_it(error):
    assert "example" not in without_values(error) and len(without_values(error)) > 20


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(['[{"key": "content_id"}]']), "event_params is string, and not a list of records"),
        (pa.array([[("content_id", "tea")]], pa.map_(pa.string(), pa.string())), "event_params is map, and not a list"),
        (pa.array([["content_id"]]), "event_params is list of string, and not a list of records"),
        (pa.array([{"content_id": "tea"}]), "event_params is struct, and not a list of records"),
    ],
)
def test_event_params_of_another_form_are_refused(tmp_path, column, said):
    columns = {"event_date": ["20240101"], "event_timestamp": [1], "user_pseudo_id": ["ann"], "event_params": column}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "in")
    with pytest.raises(UserError, match=said):
        interactions(settings(tmp_path / "out", tmp_path / "in", "ga4"))
