"""The sample of an export: bounded, even over the files, and one line for each file that is none."""

import gzip
import json
from datetime import date

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.inspection.sampling import files
from pipeline.inspection.sampling.kinds import kind_of
from tests.support.exports import event, reads, write_ndjson


def events(count: int, name: str = "v") -> list[dict]:
    return [event(f"{name}{number}", "i1", 100, event_name="page_view") for number in range(count)]


def table(rows: int) -> pa.Table:
    return pa.table({"user": [f"u{row}" for row in range(rows)], "item": [f"i{row % 7}" for row in range(rows)]})


def make(path, form: str, rows: int):
    if form == "parquet":
        pq.write_table(table(rows), path)
    elif form == "csv":
        pyarrow.csv.write_csv(table(rows), path)
    else:
        write_ndjson(path, events(rows))
    return path


@pytest.mark.parametrize(("name", "form"), [("a.json", "ndjson"), ("a.json.gz", "ndjson"), ("a.csv", "csv")])
def test_a_small_file_is_read_whole(tmp_path, name, form):
    sample = files.take(str(make(tmp_path / name, form, 500)))
    assert (sample.rows, sample.share, sample.files, sample.opened) == (500, 1.0, 1, 1)
    assert sample.kind == ("table" if form == "csv" else "ga4")


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_no_more_bytes_are_read_than_allowed(tmp_path, form):
    path = make(tmp_path / "a", form, 10_000)
    most = path.stat().st_size // 10 if form != "parquet" else table(10_000).nbytes // 2
    sample = files.take(str(path), most_bytes=most)
    nbytes = [raw.columns.nbytes for _, raw in sample.batches]
    assert 0 < sample.rows < 10_000 and (sum(nbytes) <= 1.5 * most or len(nbytes) == 1)
    assert sample.share == pytest.approx(sample.rows / 10_000, abs=0.1)  # CSV is read a block ahead


def test_each_file_has_an_equal_part(tmp_path):
    for number in range(6):
        write_ndjson(tmp_path / f"events_2024010{number + 1}.json", events(500, f"{number}v"))
    size = (tmp_path / "events_20240101.json").stat().st_size
    sample = files.take(str(tmp_path / "events_*"), most_bytes=3 * size, bytes_per_file=size // 2)
    rows = {path: 0 for path, _ in sample.batches}
    for path, raw in sample.batches:
        rows[path] += raw.columns.num_rows
    assert len(rows) == 6 and max(rows.values()) < 1.7 * min(rows.values())
    assert sample.share == pytest.approx(sample.rows / 3000, abs=0.05)


def test_of_many_files_some_are_opened_evenly(tmp_path):
    for number in range(20):
        write_ndjson(tmp_path / f"events_202401{number + 1:02}.json", events(10))
    sample = files.take(str(tmp_path / "events_*"), most_bytes=5000, bytes_per_file=1000)
    assert sample.opened == 5 and {path[-7:-5] for path, _ in sample.batches} == {"01", "06", "11", "15", "20"}
    assert sample.share < 0.3


def test_a_day_is_read_from_its_final_table(tmp_path):
    write_ndjson(tmp_path / "events_20240105.json", events(5))
    write_ndjson(tmp_path / "events_intraday_20240105.json", events(5))
    assert files.take(str(tmp_path / "events_*")).rows == 5
    (tmp_path / "events_20240105.json").unlink()
    sample = files.take(str(tmp_path / "events_*"))
    assert sample.rows == 5 and sample.unfinished


def test_blank_files_are_counted(tmp_path):
    write_ndjson(tmp_path / "events_20240101.json", events(5))
    (tmp_path / "events_20240102.json").write_bytes(b"")
    sample = files.take(str(tmp_path / "events_*"))
    assert (sample.rows, sample.blank) == (5, 1)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["event_name", "event_params"], "ga4"),
        (["event_name", "user_pseudo_id"], "ga4"),
        (["fullVisitorId", "hits"], "ga360"),
        (["fullVisitorId", "contentId"], "table"),
        (["event_name", "rating"], "table"),
    ],
)
def test_the_fields_tell_the_kind(names, kind):
    assert kind_of(names) == kind


SESSION = json.dumps(reads("v", {"i": 5})).encode() + b"\n"
EVENT = json.dumps(events(1)[0]).encode() + b"\n"
ODD = {
    "empty": ({"a.json": b""}, "has no records: 1 files match"),
    "blank": ({"a.json": b"\n \n"}, "has no records"),
    "not an export": ({"a.json": b'{"stars": 5}\n'}, "newline-delimited JSON, but not an export"),
    "an array": ({"a.json": b"[" + EVENT.strip() + b"]"}, "an array; write one object per line"),
    "an image": ({"a.png": b"\x89PNG\r\n\x1a\n" + bytes(50)}, "but an image"),
    "binary": ({"a.bin": bytes(range(256)) * 4}, "is not an export or a table"),
    "one column": ({"a.csv": b"user\nu1\nu2\n"}, "as CSV it has one column"),
    "UTF-16": ({"a.json": '{"event_name": "a"}'.encode("utf-16")}, "UTF-16; write it in UTF-8"),
    "mixed kinds": ({"a.json": EVENT, "b.json": SESSION}, "files of several kinds"),
    "truncated gzip": ({"a.json.gz": gzip.compress(EVENT * 5000)[:-20]}, "a.json.gz"),
    "damaged Parquet": ({"a.parquet": b"PAR1" + bytes(40)}, "cannot be read"),
    "damaged Avro": ({"a.avro": b"Obj\x01" + bytes(40)}, "a.avro"),
    "text lines": ({"a.txt": b"Dear all, hello\nthis is a letter\nnot a table, see, or\nno\n"}, "not those of a table"),
}


@pytest.mark.parametrize(("data", "said"), ODD.values(), ids=ODD)
def test_a_file_that_is_none_has_one_clear_line(tmp_path, data, said):
    for name, written in data.items():
        (tmp_path / name).write_bytes(written)
    with pytest.raises(UserError, match=said) as caught:
        files.take(str(tmp_path / "*"))
    assert "\n" not in str(caught.value)


def test_a_lost_file_and_an_unknown_glob_are_said(tmp_path):
    with pytest.raises(UserError, match="no file matches"):
        files.take(str(tmp_path / "nothing_*"))


def test_complaints_are_counted(tmp_path):
    rows = [*events(5), b'{"event_name": "x', b'{"event_name": 1}x']
    sample = files.take(str(write_ndjson(tmp_path / "a.json", rows)))
    assert sample.rows == 5 and sum(sample.complaints.values()) == 2


@pytest.mark.parametrize(
    ("data", "columns", "header"),
    [
        (b"user;item;at\nu1;i1;2024-01-01\n", ("user", "item", "at"), True),
        (b"user\titem\nu1\ti1\n", ("user", "item"), True),
        ("user,item\nu1,i1\n".encode("utf-16"), ("user", "item"), True),
        (b"u1,7,5\nu2,8,1\n", ("column1", "column2", "column3"), False),
        (b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", tuple(f"column{n}" for n in range(1, 5)), False),
    ],
)
def test_tables_of_other_dialects_are_read(tmp_path, data, columns, header):
    (tmp_path / "a.csv").write_bytes(data)
    sample = files.take(str(tmp_path / "a.csv"))
    assert (sample.kind, sample.columns, sample.header) == ("table", columns, header)
    assert sample.rows == data.count(b"\n") - header


def test_dates_of_parquet_are_columns_of_a_table(tmp_path):
    pq.write_table(table(3).append_column("day", pa.array([date(2024, 1, 1)] * 3)), tmp_path / "a.parquet")
    assert files.take(str(tmp_path / "a.parquet")).columns == ("user", "item", "day")
