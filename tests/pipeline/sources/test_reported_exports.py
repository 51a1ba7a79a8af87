"""GA4 exports after reports in public trackers, each with its right value: days, ids, types, times, odd lines."""

import bz2
import datetime
import gzip
import json
import zlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.dataset import checks
from tests.support.exports import event, interactions, settings, write_ndjson

AT = 1704448800  # 10:00 UTC on 5 January 2024
VISITS = [
    ("ann", "tea", 1),
    ("bob", "tea", 2),
    ("cid", "tea", 3),
    ("ann", "cup", 4),
    ("bob", "cup", 5),
    ("cid", "cup", 6),
]
VISITS.append(("ann", "pot", 7))  # in seconds, with a median of 4
DAY = "events_20240105.json"


def viewed(visitor, item, seconds, at=AT, **more):
    """Return an event; the item and the seconds as the value of a parameter, or what is to be in its int_value."""
    params = [
        {"key": "content_id", "value": item if isinstance(item, dict) else {"string_value": item}},
        {
            "key": "engagement_time_msec",
            "value": seconds if isinstance(seconds, dict) else {"int_value": f"{seconds}000"},
        },
    ]
    fields = {"event_date": "20240105", "event_timestamp": f"{at}000000", "event_params": params}
    return event(visitor, None) | fields | {"event_name": "user_engagement"} | more


def events(**more):
    return [viewed(*visit, at=AT + number, **more) for number, visit in enumerate(VISITS)]


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


PLAIN = lines(events())


def outcome(tmp_path, files, rating=None, **source):
    """Read files and check the counts, as the job does; return what a pair counts, and the counts."""
    for name, data in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    source = {"max_reject_fraction": 0.99} | source
    made = settings(tmp_path / "out", tmp_path / "in" / "**", "ga4", source=source, rating=rating or {})
    pairs, counts = interactions(made)
    checks.check_counts(
        Counter(counts) + Counter({"pairs.read": len(pairs), "pairs.used": len(pairs)}), made, "rejected"
    )
    return {(visitor.decode(), item.decode()): amount for (visitor, item), (amount, _) in pairs.items()}, counts


def is_plain(pairs, counts):
    return len(pairs) == counts["records.read"] == 7 and np.median([*pairs.values()]) == 4000


OPEN = "events_intraday_20240105.json"
FLOATS = PLAIN.replace(b'000000", "event_params', b'000000.0, "event_params').replace(b'p": "', b'p": ')
MEMBERS = b"".join(gzip.compress(line + b"\n") for line in PLAIN.splitlines())
DAYS = {
    "fresh next to final": ({DAY: PLAIN, "events_fresh_20240105.json": PLAIN}, {}),
    "the next day not yet whole": ({DAY: PLAIN, "events_intraday_20240106.json": PLAIN}, {}),
    "intraday next to final": ({DAY: PLAIN, OPEN: PLAIN}, {"include_intraday": True}),
    "what Spark left": ({DAY: PLAIN, "_temporary/0/events_20240105.json": PLAIN}, {}),
    "a date of ISO 8601": ({DAY: lines(events(event_date="2024-01-05"))}, {"start_date": "2024-01-01"}),
    "a date as a number": ({DAY: lines(events(event_date=20240105))}, {"start_date": "2024-01-01"}),
    "a byte order mark": ({DAY: b"\xef\xbb\xbf" + PLAIN}, {}),
    "Windows": ({DAY: PLAIN.replace(b"\n", b"\r\n")}, {}),
    "blank lines": ({DAY: b"\n" + PLAIN.replace(b"\n", b"\n\n")}, {}),
    "gzip of several members": ({"e.json.gz": MEMBERS}, {}),
    "gzip with an empty member": ({"e.json.gz": gzip.compress(b"") + gzip.compress(PLAIN)}, {}),
    "gzip filled up with zeros": ({"e.json.gz": gzip.compress(PLAIN) + bytes(512)}, {}),
    "plain in spite of its name": ({"e.json.gz": PLAIN}, {}),
    "times that are floats": ({DAY: FLOATS}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", DAYS)
def test_each_event_counts_once(tmp_path, name):
    files, source = DAYS[name]
    assert is_plain(*outcome(tmp_path, files, **source))


REFUSED = {
    "a directory per day": ({"events_20240105/part-0.json": PLAIN}, None),
    "an array": ({DAY: b"[" + b",".join(PLAIN.splitlines()) + b"]"}, "but an array; write one object per line"),
    "an array of many lines": (
        {DAY: json.dumps(events(), indent=1).encode()},
        "but an array; write one object per line",
    ),
    "objects of many lines": ({DAY: json.dumps(events()[0], indent=1).encode() + b"\n"}, "no interactions|malformed"),
    "bzip2": ({DAY: bz2.compress(PLAIN)}, "but bzip2; decompress it"),
    "gzip twice": ({DAY: gzip.compress(gzip.compress(PLAIN))}, "but gzip; decompress it"),
    "gzip that is cut off": ({DAY: gzip.compress(PLAIN)[:-20]}, "after record|cannot be read"),
    "gzip with garbage": ({DAY: gzip.compress(PLAIN)[:40] + b"x" * 99}, "after record|cannot be read"),
    "zlib": ({DAY: zlib.compress(PLAIN)}, "is not newline-delimited JSON"),
    "UTF-16": ({DAY: PLAIN.decode().encode("utf-16")}, "but UTF-16; write it in UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_export_is_refused_in_one_line(tmp_path, name):
    files, said = REFUSED[name]
    if said is None:  # `**` finds the parts, events_* the directory
        write_ndjson(tmp_path / "in" / "events_20240105" / "part-0.json", events())
        with pytest.raises(UserError, match="only directories do; name their files"):
            interactions(settings(tmp_path / "out", tmp_path / "in" / "events_*", "ga4"))
        said, files = None, {}
        assert is_plain(*outcome(tmp_path, files))
        return
    with pytest.raises(UserError, match=said) as error:
        outcome(tmp_path, files)
    assert "\n" not in str(error.value) and "cup" not in str(error.value)


def test_a_duplicate_event_counts_once(tmp_path):
    pairs, counts = outcome(tmp_path, {DAY: lines([*events(), *events()[:3]])})
    assert np.median([*pairs.values()]) == 4000 and len(pairs) == 7
    assert counts["views.skipped.duplicate_event"] == 3


def test_names_of_no_id_are_left_out_by_name(tmp_path):
    odd = [viewed("ann", item, 60) for item in ("(not set)", "(not set)", "undefined", "null", "", " tea", "tea ")]
    pairs, counts = outcome(tmp_path, {DAY: lines([*events(), *odd])}, drop_duplicate_events=False)
    assert {item for _, item in pairs} == {"tea", "cup", "pot", " tea", "tea "}
    missing = {name: number for name, number in counts.items() if "not_an_id" in name}
    assert missing == {
        f"records.skipped.not_an_id.{n}": 1 + (n == "(not set)") for n in ("(not set)", "undefined", "null")
    }
    assert counts["records.skipped.no_item"] == 1


def test_an_item_is_one_in_every_field_of_a_value(tmp_path):
    values = [{"int_value": "9780306406157"}, {"string_value": "9780306406157"}, {"double_value": 9780306406157.0}]
    values += [{"double_value": 42.0}, {"int_value": "42"}, {"float_value": 42.0}, {"string_value": "tea"}]
    pairs, _ = outcome(tmp_path, {DAY: lines(viewed(f"v{n}", value, 1) for n, value in enumerate(values))})
    assert Counter(item for _, item in pairs) == {"9780306406157": 3, "42": 3, "tea": 1}


def test_engagement_of_every_type_counts_or_is_rejected(tmp_path):
    dwells = [{"string_value": "1500"}, {"double_value": 1500.0}, {"double_value": 1500.5}, {"int_value": "-5"}]
    pairs, counts = outcome(tmp_path, {DAY: lines(viewed(f"v{n}", "tea", dwell) for n, dwell in enumerate(dwells))})
    assert pairs == {("v0", "tea"): 1500, ("v1", "tea"): 1500}
    assert counts["records.rejected.engagement_invalid"] == 2


PAGES = {
    "same page": ([
        "https://shop.example/tea", "https://shop.example/tea/", "https://SHOP.example/tea", "http://shop.example/tea",
        "https://www.shop.example/tea", "https://shop.example/tea?utm_source=x", "https://shop.example/tea#top",
        "https://shop.example/te%61",
    ], {}, 1),
    "single page": (["https://app.example/#/tea", "https://app.example/#!/pot", "https://app.example/#/cup"],
                    {"keep_fragment": True}, 3),
    "a parameter": (["https://blog.example/?p=12", "https://blog.example/?p=14&utm_source=x", "https://blog.example/?p=13"],
                    {"keep_parameters": ["p"]}, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_as_many_as_the_site_has(tmp_path, name):
    urls, rules, number = PAGES[name]
    location = [{"key": "page_location", "value": {"string_value": url}} for url in urls]
    rows = [viewed(f"v{n}", "", 5) for n in range(len(urls))]
    for row, param in zip(rows, location, strict=True):
        row["event_params"][0] = param
    pairs, _ = outcome(tmp_path, {DAY: lines(rows)}, item_parameter="page_location", page=rules)
    assert len({item for _, item in pairs}) == number and len(pairs) == len(urls)


def test_an_empty_visitor_is_rejected_and_a_null_skipped(tmp_path):
    _, counts = outcome(tmp_path, {DAY: lines([*events(), viewed("", "tea", 1), viewed(None, "tea", 1)])})
    assert (counts["records.rejected.visitor_id_empty"], counts["records.skipped.no_visitor_id"]) == (1, 1)


def test_views_count_whose_dwell_is_in_another_event(tmp_path):
    views = [viewed("v1", item, 0, at=AT + n) for n, item in enumerate(("tea", "cup", "pot"))]
    views = [row | {"event_name": "view_item", "event_params": row["event_params"][:1]} for row in views]
    dwells = [row | {"event_name": "user_engagement", "event_params": []} for row in views]
    pairs, counts = outcome(tmp_path, {DAY: lines([*views, *dwells])}, rating={"kind": "binary"})
    assert len(pairs) == 3 and counts["records.read"] == 6


def test_users_without_a_name_fall_back_to_their_device(tmp_path):
    names = ["undefined", "null", "0", "(not set)", "login", "login", "", None]
    rows = [viewed(f"v{n}", "tea", 1, user_id=name) for n, name in enumerate(names)]
    pairs, _ = outcome(tmp_path, {DAY: lines(rows)}, prefer_user_id=True)
    assert {visitor for visitor, _ in pairs} == {"v0", "v1", "v2", "v3", "login", "v6", "v7"}


def test_of_a_parameter_that_is_there_twice_the_first_counts(tmp_path):
    rows = [viewed(visitor, item, 1) for visitor, item in (("ann", "tea"), ("bob", "cup"))]
    for row in rows:
        row["event_params"].insert(1, {"key": "content_id", "value": {"string_value": "aaa"}})
    pairs, _ = outcome(tmp_path, {DAY: lines(rows)})
    assert {*pairs} == {("ann", "tea"), ("bob", "cup")}


PRICED = [
    {**row, "event_params": [*row["event_params"], {"key": "value", "value": {"double_value": 9.5}}]}
    for row in events()
]
ONE = lines(PRICED[:1]).strip()
ODD = {  # and how many are rejected; None for a line that counts
    "blank": (b"", 0),
    "NaN": (ONE.replace(b"9.5", b"NaN"), None),
    "malformed": (b'{"event_date": ', 1),
    "infinite": (ONE.replace(b"9.5", b"1e999"), None),
    "null": (b"null", 1),
    "a float in int_value": (ONE.replace(b'"1000"', b"1000.0"), None),
    "not UTF-8": (lines([viewed("a\xff", "tea", 1)]).strip().replace(b"\\u00ff", b"\xff"), 1),
    "a lone surrogate that nobody reads": (lines([PRICED[0] | {"other": "\ud83d"}]).strip(), None),
}


@pytest.mark.parametrize("name", ODD)
def test_one_odd_line_among_prices_costs_that_line_alone(tmp_path, name):
    line, rejected = ODD[name]
    data = lines(PRICED).splitlines()
    data.insert(4, line)
    pairs, counts = outcome(tmp_path, {DAY: b"\n".join(data) + b"\n"}, drop_duplicate_events=False)
    assert len(pairs) == 7 and pairs["ann", "cup"] == 4000
    assert pairs["ann", "tea"] == (2000 if rejected is None else 1000)
    assert sum(number for name, number in counts.items() if ".rejected." in name) == (rejected or 0)


def in_parquet(name):
    """Return the plain export with columns of another type."""
    param = pa.struct(
        [("key", pa.string()), ("value", pa.struct([("string_value", pa.string()), ("int_value", pa.int64())]))]
    )
    rows = [row | {"event_timestamp": int(row["event_timestamp"])} for row in events()]
    for row in rows:
        row["event_params"][1]["value"] = {"int_value": int(row["event_params"][1]["value"]["int_value"])}
    make = pa.large_list if name == "large_list" else pa.list_
    params = pa.array([row["event_params"] for row in rows], make(param))
    if name == "JSON":
        params = pa.array([json.dumps(row["event_params"]) for row in rows])
    elif name == "map":
        params = pa.array([[("content_id", "tea")]] * 7, pa.map_(pa.string(), pa.string()))
    stamps = pa.array([row["event_timestamp"] for row in rows])
    days = pa.array([row["event_date"] for row in rows])
    table = {
        "event_date": pa.array([datetime.date(2024, 1, 5)] * 7) if name == "date" else days,
        "event_timestamp": stamps.cast(pa.timestamp("us", "UTC")) if name == "timestamp" else stamps,
        "user_pseudo_id": pa.array([row["user_pseudo_id"] for row in rows]),
        "event_params": params,
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", ["list", "large_list", "timestamp", "date"])
def test_parquet_of_other_writers_is_read(tmp_path, name):
    assert is_plain(*outcome(tmp_path, {"e.parquet": in_parquet(name)}, start_date="2024-01-05", end_date="2024-01-05"))


@pytest.mark.parametrize("name", ["map", "JSON"])
def test_parquet_whose_parameters_are_no_records_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"event_params is .*, and not a list of records as Google exports it"):
        outcome(tmp_path, {"e.parquet": in_parquet(name)})
