"""Times of every writer, each by itself; against datetime."""

import datetime
import json
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest

from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.dataset import checks
from pipeline.readers.files import TableReader
from pipeline.sources import times
from pipeline.sources.table import Table, column_names
from tests.support.exports import event, hit, interactions, make_dataset, session, settings, write_ndjson

AT = datetime.datetime(2024, 1, 5, 10, 0, tzinfo=datetime.UTC)
MS = int(AT.timestamp()) * 1000
DAY_MS = MS - 10 * 3_600_000

TEXTS = {
    "2024-01-05 10:00:00 UTC": MS,
    "2024-01-05 10:00:00.123456 UTC": MS + 123,
    "2024-01-05T10:00:00Z": MS,
    "2024-01-05T19:00:00+09:00": MS,
    "2024-01-05T10:00:00.000+0000": MS,
    "2024-01-05 10:00:00": MS,
    "2024-01-05 10:00:00.123456789": MS + 123,
    "2024-01-05": DAY_MS,
    "20240105": DAY_MS,
    "20240105100000": MS,
    "2024-01-05t10:00:00z": MS,
    str(MS): MS,
    f"{MS}.0": MS,
    "": None,
    " ": None,
    "yesterday": None,
    "1/5/2024 10:00": None,
    "20241305": None,
    "20240105250000": None,
    "19900101": 631152000000,
    "19891231": None,
    "1989-12-31": None,
    "1970-01-01 00:00:00 UTC": None,
    "2099-12-31 23:59:59.999": 4102444799999,
    "2100-01-01": None,
    "9999-12-31": None,
    "1985.5": None,
    f"{MS}.5": MS,
    "0": None,
    "20991231235959": 4102444799000,
    "631151999999": None,
    "631152000000": 631152000000,
    "4102444799999": 4102444799999,
    "4102444800000": None,
    "-1": None,
    "9" * 19: None,
    "1e999": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_text(text):
    for column in (
        pa.array([text, str(MS)]),
        pa.array([text.encode(), b"2024-01-05"]),
        pa.array([text] * 3).dictionary_encode(),
    ):
        values, sound = times.milliseconds(column, None)
        assert sound[0] == (TEXTS[text] is not None)
        assert values[0] == (TEXTS[text] or 0)


@pytest.mark.parametrize("moment", ["1970-01-01", "1970-01-01T00:00:00.001", "1989-12-31T23:59:59.999", "2100-01-01"])
def test_one_rule_for_all_units_and_types(moment):
    """0, and what stands for it, is the time of nothing that a visitor did, whatever wrote it."""
    at = datetime.datetime.fromisoformat(moment).replace(tzinfo=datetime.UTC)
    ms = int(at.timestamp() * 1000)
    for unit, per in (("ms", 1), ("us", 1000), ("ns", 10**6)):
        numbers = [
            pa.array([ms * per]),
            pa.array([str(ms * per)]),
            pa.array([float(ms * per)]),
            pa.array([f"{ms * per}.5"]),
        ]
        for column in (*numbers, pa.array([at]).cast(pa.timestamp(unit)), pa.array([moment])):
            assert times.milliseconds(column, unit)[1].tolist() == [False], (unit, column)
            assert times.since_1970(column, unit)[1].tolist() == [False], (unit, column)
    for column in (pa.array([0]), pa.array(["0"]), pa.array([at.date()])):
        assert times.since_1970(column, "s")[1].tolist() == [False]
        assert times.milliseconds(column, "s")[1].tolist() == [False]
    assert times.days(pa.array([at.date(), None])).to_pylist() == [None, None]
    assert times.days(pa.array([moment[:10], moment[:10].replace("-", "")])).to_pylist() == [None, None]
    column = pa.array([at, None, AT])
    assert times.units(column) == {times.NO_UNIT: 1}
    values, sound = times.milliseconds(column, None, any_year=True)  # as attributes of items are
    assert (values.tolist(), sound.tolist()) == ([ms, 0, MS], [True, False, True])


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_numbers_in_a_unit(unit, factor):
    number = MS // 1000 * factor
    columns = [pa.array([number]), pa.array([float(number)]), pa.array([str(number)]), pa.array([f"{number}.0"])]
    columns += [pa.array([number], pa.uint64()), pa.array([Decimal(number)], pa.decimal128(38, 2))]
    for column in columns:
        assert times.milliseconds(column, unit)[0].tolist() == [MS], column.type
        assert times.units(column)[unit] == 1 and sum(times.units(column).values()) == 1
    assert times.milliseconds(pa.array(["1704448800.5"]), "s")[0].tolist() == [MS + 500]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_need_no_unit(unit):
    column = pa.array([AT, None], pa.timestamp(unit, "Asia/Tokyo"))
    for values, sound in (
        times.milliseconds(column, None),
        times.milliseconds(column, "s"),
        times.since_1970(column, "ms"),
    ):
        assert (values.tolist(), sound.tolist()) == ([MS, 0], [True, False])
    assert times.milliseconds(pa.array([AT.date()]), None)[0].tolist() == [DAY_MS]
    assert times.since_1970(column, "us")[0].tolist() == [MS * 1000, 0]


def test_a_float_of_16_bits_is_no_time():
    assert times.milliseconds(pa.array([1.0]).cast(pa.float16()), None)[1].tolist() == [False]


def test_times_of_exports_may_be_text():
    texts = ["2024-01-05 10:00:00.000007 UTC", "2024-01-05T10:00:00Z", f"{MS}000", "1.7044488E15", "soon", None]
    values, sound = times.since_1970(pa.array(texts), "us")
    assert values.tolist() == [MS * 1000 + 7, MS * 1000, MS * 1000, MS * 1000, 0, 0]
    assert sound.tolist() == [True] * 4 + [False] * 2
    assert times.since_1970(pa.array(["2024-01-05 10:00:00 UTC"]), "s")[0].tolist() == [MS // 1000]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_out_of_range_are_no_other_time(unit):
    beyond = pa.array([2**62, -(2**62), 2**63 - 1, None]).cast(pa.timestamp(unit))
    last = 2 if unit == "ns" else 0  # of 64 bits, those in ns end in 2262
    assert times.milliseconds(beyond, None)[1].tolist() == [False] * 4
    assert times.milliseconds(beyond, None, any_year=True)[1].tolist() == [bool(last), False, False, False]
    assert times.milliseconds(pa.array([2**31 - 1, -1], pa.date32()), None)[1].tolist() == [False, False]
    assert times.days(pa.array([2**31 - 1, 19727, None], pa.date32())).to_pylist() == [None, "20240105", None]
    assert times.days(beyond).to_pylist()[1:] == [None, None, None]


def test_a_time_is_not_a_duration():
    for column in (pa.array(["2024-01-05"]), pa.array([AT]), pa.array(["1.5"]), pa.array([-1])):
        assert times.durations(column)[1].tolist() == [False]
    assert times.durations(pa.array(["1500", "1500.0"]))[0].tolist() == [1500, 1500]


def test_days_of_every_type():
    day = datetime.date(2024, 1, 5)
    for column in (
        pa.array(["20240105"]), pa.array(["2024-01-05"]), pa.array(["2024-01-05T10:00:00Z"]), pa.array([20240105]),
        pa.array([20240105.0]), pa.array([day]), pa.array([AT]), pa.array(["20240105"], pa.large_string()),
        pa.array(["20240105"]).dictionary_encode(), pa.array([day], pa.date64()),
    ):  # fmt: skip
        assert times.days(column).to_pylist() == ["20240105"], column.type
    odd = pa.array([None, "", "0", "20241305", "2024011", "nan", "\u0661" * 8, "2024-01-0512", "x" * 100_000])
    assert times.days(odd).to_pylist() == [None] * 9


def extracted(tmp_path, lines, **source):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["visitorId,contentId,ts", *lines]) + "\n")
    named = SourceSettings(kind="table", input="x", time_column="ts", **source)
    table, reader = Table(named, RatingSettings()), TableReader(column_names(named))
    extracts = [table.extract(raw, "t") for raw in reader.read(str(path))]
    rejects = [json.loads(line) for extract in extracts for line in extract.rejects]
    rows = [row for extract in extracts for row in extract.table.to_pylist()]
    return (
        rows,
        [(reject["record"], reject["reason"]) for reject in rejects],
        sum((e.counts for e in extracts), extracts[0].counts - extracts[0].counts),
    )


@pytest.mark.parametrize("blank", ["", " ", "soon", "-1", "9999999999999999"])
@pytest.mark.parametrize("place", [0, 200, 399])
@pytest.mark.parametrize("window", [{}, {"start_date": "2024-01-01", "end_date": "2024-01-31"}])
def test_one_odd_time_loses_its_row_alone(tmp_path, blank, place, window):
    lines = [f"v{n},c{n % 5},{MS + n}" for n in range(400)]
    lines[place] = f"v{place},c,{blank}"
    rows, rejects, counts = extracted(tmp_path, lines, **window)
    assert len(rows) == 399
    assert rejects == [(place + 1, "time_invalid")]
    assert not counts["records.skipped.outside_window"]


@pytest.mark.parametrize(("factor", "unit"), [(1 / 1000, "s"), (1000, "us"), (10**6, "ns")])
def test_times_in_another_unit_propose_it(tmp_path, factor, unit):
    path = tmp_path / "t.csv"
    rows = [f"v{n % 3},c{n % 5},{n},{int((MS + 1000 * n) * factor)}" for n in range(30)]
    path.write_text("\n".join(["visitorId,contentId,dur,ts", *rows]) + "\n")
    source = {"time_column": "ts", "duration_column": "dur"}
    for window in ({}, {"start_date": "2024-01-01"}) if unit == "s" else ({},):
        with pytest.raises(
            UserError, match=f"times in source.time_column are in {unit}, not in ms: set source.time_unit"
        ):
            make_dataset(tmp_path / "out", path, "table", source=source | window)
    manifest = make_dataset(tmp_path / "out", path, "table", source=source | {"time_unit": unit})
    assert manifest["days"] == {"first": "20240105", "last": "20240105"}


def counted(tmp_path, path, kind, **sections):
    """Read a file and check the counts, as the job does."""
    made = settings(tmp_path / "out", path, kind, **sections)
    checks.check_counts(Counter(interactions(made)[1]), made, "rejected")


def test_an_explicit_unit_that_is_wrong_proposes_the_right_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"visitorId,contentId,ts\na,x,{MS}\nb,x,{MS}\nb,y,{MS // 1000}\n")
    source = {"time_column": "ts", "time_unit": "s"}
    with pytest.raises(UserError, match=r"source\.time_column are in ms, not in s: set source\.time_unit: ms"):
        counted(tmp_path, path, "table", source=source, rating={"kind": "binary"})


def test_times_that_are_of_today_in_no_unit_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    for time in ("45296.0", "202401", "1"):
        path.write_text(f"visitorId,contentId,ts\na,x,{time}\nb,x,{time}\nb,y,{MS}\n")
        with pytest.raises(UserError, match=r"most times in source\.time_column are before 1990 or after 2099"):
            counted(tmp_path, path, "table", source={"time_column": "ts"}, rating={"kind": "binary"})
    assert times.units(pa.array([20240105, 20240105100000, MS, 45296, None]))[times.NO_UNIT] == 1


@pytest.mark.parametrize(("digits", "unit"), [(10, "s"), (13, "ms")])
def test_times_of_ga4_in_another_unit_are_refused(tmp_path, digits, unit):
    rows = [event("a", f"x{n}", 5, event_timestamp=f"17044488{n:02}000000"[:digits]) for n in range(9)]
    write_ndjson(tmp_path / "in", [*rows, event("a", "x", 5)])
    with pytest.raises(UserError, match=f"the times in event_timestamp are in {unit}, not in us: write them as Google"):
        counted(tmp_path, tmp_path / "in", "ga4")


def test_times_of_ga360_in_another_unit_are_refused(tmp_path):
    hits = [hit(1, 0, "x"), hit(2, 900, "y")]
    write_ndjson(tmp_path / "in", [session(f"v{n}", n, hits, visitStartTime=str(MS + n)) for n in range(9)])
    with pytest.raises(UserError, match="the times in visitStartTime are in ms, not in s: write them as Google"):
        counted(tmp_path, tmp_path / "in", "ga360")


@pytest.mark.parametrize("odd", ["0", 0, None, "1970-01-01 00:00:00 UTC", -1, str(2**62)])
def test_an_export_without_a_time_loses_its_record_alone(tmp_path, odd):
    events = [event("a", "x", 5), event("b", "y", 5, event_timestamp=odd)]
    hits = [hit(1, 0, "x"), hit(2, 900)]
    sessions = [session("a", 1, hits), session("b", 2, hits, visitStartTime=odd)]
    for kind, rows, name in (("ga4", events, "event_timestamp"), ("ga360", sessions, "visit_start_time")):
        write_ndjson(tmp_path / kind, rows)
        found, counts = interactions(settings(tmp_path / "out", tmp_path / kind, kind))
        assert [*found] == [(b"a", b"x")] and counts[f"records.rejected.{name}_invalid"] == 1


@pytest.mark.parametrize("written", [str(MS), "2024-01-05T10:00:00Z"])
@pytest.mark.parametrize("odd", ["0", "1704448800", "20241305", "7.5"])
def test_a_few_numbers_that_are_no_times_are_rejected_and_no_other_unit(tmp_path, written, odd):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["visitorId,contentId,ts", f"a,x,{written}", f"a,y,{odd}", f"b,x,{written}"]) + "\n")
    source = {"time_column": "ts", "start_date": "2024-01-01", "max_reject_fraction": 0.5}
    made = settings(tmp_path / "out", path, "table", source=source, rating={"kind": "binary"})
    rows, counts = interactions(made)
    assert {time for _, time in rows.values()} == {MS} and counts["records.rejected.time_invalid"] == 1
    counts["pairs.read"] = counts["pairs.used"] = len(rows)
    checks.check_counts(Counter(counts), made, "rejected")
