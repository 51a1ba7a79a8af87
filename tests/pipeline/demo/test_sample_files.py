"""pipeline.sample as a command: the files it writes, in every format, and those it leaves alone."""

import subprocess
import sys

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import cli
from configs.errors import UserError
from pipeline import sample
from pipeline.demo.sample import formats
from pipeline.demo.sample.generate import Plan
from tests.support.samples import items_of, lines, make


def test_layouts_and_formats_asked_for_do_not_change_each_other(tmp_path):
    make(tmp_path / "all", plan=Plan(("table", "ga4", "ga360"), ("parquet", "ndjson"), 1))
    everything = items_of(tmp_path / "all")
    make(tmp_path / "one", plan=Plan(("ga4",), ("ndjson",), 1))
    one = items_of(tmp_path / "one")
    del one["sample.json"]
    assert len(one) == 4
    assert {name: everything[name] for name in one} == one


def test_the_three_formats_hold_the_same_rows(tmp_path):
    make(tmp_path, plan=Plan(("ga360", "ga4"), ("ndjson", "avro", "parquet"), 1))

    def plain(value, texts: bool):
        """Without NULLs, and INT64 as strings where `texts`: as JSON has them."""
        if isinstance(value, dict):
            return {key: plain(inner, texts) for key, inner in value.items() if inner is not None}
        if isinstance(value, list):
            return [plain(inner, texts) for inner in value]
        return str(value) if texts and isinstance(value, int) and not isinstance(value, bool) else value

    for layout, prefix in (("ga360", "ga_sessions_"), ("ga4", "events_")):
        for day in ("20240101", "20240102", "20240103"):
            rows = lines(tmp_path, f"{layout}/{prefix}{day}.ndjson.gz")
            assert rows == [plain(row, False) for row in rows]
            with open(tmp_path / f"{layout}-avro/{prefix}{day}.avro", "rb") as file:
                assert [plain(row, True) for row in fastavro.reader(file)] == rows
            table = pq.read_table(tmp_path / f"{layout}-parquet/{prefix}{day}.parquet")
            assert [plain(row, True) for row in table.to_pylist()] == rows
    hits = pq.read_schema(tmp_path / "ga360-parquet/ga_sessions_20240101.parquet").field("hits").type
    assert pa.types.is_list(hits)
    assert hits.value_type.field("time").type == pa.int64()
    with open(tmp_path / "ga360-avro/ga_sessions_20240101.avro", "rb") as file:
        schema = fastavro.reader(file).writer_schema
    fields = {field["name"]: field["type"] for field in schema["fields"]}
    assert schema["name"].rsplit(".")[-1] == "Root"
    assert fields["visitId"] == ["null", "long"]
    assert fields["hits"]["type"] == "array"
    assert fields["hits"]["items"]["name"] == "root.Hits"


def test_several_files_a_day_hold_what_one_holds(tmp_path):
    make(tmp_path / "one")
    make(tmp_path / "three", plan=Plan(("ga360", "ga4"), ("ndjson",), 3))
    for layout, name in (("ga360", "ga_sessions_20240102"), ("ga4", "events_20240102")):
        parts = sorted(path.name for path in (tmp_path / "three" / layout).glob(f"{name}*"))
        assert parts == [f"{name}-{part:012d}.ndjson.gz" for part in range(3)]
        split = [lines(tmp_path / "three", f"{layout}/{part}") for part in parts]
        assert all(split)
        whole = lines(tmp_path / "one", f"{layout}/{name}.ndjson.gz")
        assert sorted(str(row) for part in split for row in part) == sorted(map(str, whole))


def test_a_directory_with_files_is_refused_and_keeps_them(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        make(tmp_path)
    assert items_of(tmp_path) == {"notes.txt": b"mine"}


def test_replace_touches_only_what_a_sample_has_made(tmp_path):
    make(tmp_path, days=3, plan=Plan(("ga360", "ga4"), ("ndjson",), 1))
    (tmp_path / "ga360" / "notes.txt").write_text("mine")
    make(tmp_path, days=2, plan=Plan(("ga360",), ("ndjson",), 1), replace=True)
    assert sorted(items_of(tmp_path)) == [
        "catalogue.csv",
        "ga360/ga_sessions_20240101.ndjson.gz",
        "ga360/ga_sessions_20240102.ndjson.gz",
        "ga360/notes.txt",
        "sample.json",
    ]
    assert not (tmp_path / "ga4").exists()
    real = tmp_path / "ga360" / "ga_sessions_20240103.ndjson.gz"
    real.write_bytes(b"a real export")
    before = items_of(tmp_path)
    with pytest.raises(UserError, match=r"ga_sessions_20240103.ndjson.gz was not made by this command"):
        make(tmp_path, days=3, seed=5, replace=True)
    assert items_of(tmp_path) == before


def test_an_inventory_that_points_elsewhere_deletes_nothing(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sample.json").write_text('{"files": ["../precious"]}')
    with pytest.raises(UserError, match="outside"):
        make(tmp_path / "out", replace=True)
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / "out" / "sample.json").write_text("{}")
    with pytest.raises(UserError, match="not a list of a sample's files"):
        make(tmp_path / "out", replace=True)


def test_a_failed_run_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    make(tmp_path, seed=1)
    before = items_of(tmp_path)

    def fail(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.NdjsonWriter, "write", fail)
    with pytest.raises(UserError, match="No space left on device"):
        make(tmp_path, seed=2, replace=True)
    assert items_of(tmp_path) == before
    with pytest.raises(UserError):
        make(tmp_path / "new")
    assert items_of(tmp_path / "new") == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--visitors 0", "not within 1"),
        ("--items 0", "not within 1"),
        ("--days 0", "not within 1"),
        ("--files_per_day 0", "not within 1"),
        ("--seed -1", "not within 0"),
        ("--visitors many", "not a whole number"),
        ("--start_date tomorrow", "not a date"),
        ("--layouts ga5", "invalid choice"),
        ("--formats csv", "invalid choice"),
        ("--visitors 10 --interactions 9", "choose 10 to 660"),
        ("--visitors 10 --interactions 661", "choose 10 to 660"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_written(tmp_path, capsys, flags, words):
    argv = ["--output_dir", str(tmp_path / "out"), *flags.split()]
    try:
        status = cli.run(sample.main, argv)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error
    assert words in error
    assert not (tmp_path / "out").exists()


def test_the_command_needs_neither_tensorflow_nor_beam(tmp_path):
    code = (
        "import sys; from pipeline import sample; sample.main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules} & {'tensorflow', 'apache_beam', 'tfx_bsl'})"
    )
    flags = ["--output_dir", str(tmp_path / "out"), "--visitors", "20", "--items", "20", "--days", "2"]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == ""
    assert "visitors" in done.stdout
    assert [line[:10] for line in done.stderr.splitlines()] == ["2024-01-01", "2024-01-02"]
