"""A table: which of a pair's ratings counts, and the dialects of its files."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest

from configs.errors import UserError
from configs.settings import RatingSettings, Settings, SourceSettings
from pipeline.readers.records import RawBatch
from pipeline.sources.table import Table
from tests.support.exports import START, interactions, make_dataset, settings

ROWS = [("ann", "tea", 5), ("bob", "tea", 2), ("ann", "tea", 1), ("ann", "cup", 3), ("bob", "tea", 4)]
COLUMNS = ("visitorId", "contentId")
LAST = {(b"ann", b"tea"): 1, (b"ann", b"cup"): 3, (b"bob", b"tea"): 4}


def write(path: Path, rows, columns=("visitorId", "contentId", "stars"), **dialect) -> Path:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n", **dialect).writerows([columns, *rows])
    path.write_text(file.getvalue(), encoding="utf-8")
    return path


def ratings(path, **source) -> dict:
    tree = {"rating_column": "stars"} | source
    rows, _ = interactions(settings(Path("out"), path, "table", source=tree, rating={"kind": "linear"}))
    assert {time for _, time in rows.values()} == {0} or "time_column" in source
    return {pair: amount for pair, (amount, _) in rows.items()}


def test_without_times_the_last_row_of_a_file_counts(tmp_path):
    assert ratings(write(tmp_path / "a.csv", ROWS)) == LAST


def test_the_latest_rating_counts_and_the_greatest_of_one_time(tmp_path):
    rows = [(*row, START * 1000 + time) for row, time in zip(ROWS, (3000, 1000, 2000, 1, 1000), strict=True)]
    path = write(tmp_path / "a.csv", rows, ("visitorId", "contentId", "stars", "ms"))
    expected = {(b"ann", b"tea"): 5, (b"ann", b"cup"): 3, (b"bob", b"tea"): 4}
    assert ratings(path, time_column="ms", time_unit="ms") == expected


def test_different_ratings_of_a_pair_in_several_files_are_refused(tmp_path):
    write(tmp_path / "a.csv", ROWS)
    write(tmp_path / "b.csv", [("ann", "tea", 1), ("zoe", "tea", 1)])
    with pytest.raises(UserError, match=r"different ratings in several files.*set source.time_column") as error:
        ratings(tmp_path / "*.csv")
    assert "ann" not in str(error.value)
    write(tmp_path / "a.csv", [("ann", "tea", 1), ("ann", "cup", 3)])
    assert ratings(tmp_path / "*.csv") == {(b"ann", b"tea"): 1, (b"ann", b"cup"): 3, (b"zoe", b"tea"): 1}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_header_of_a_file_that_was_put_after_another_is_not_a_row(tmp_path, mark):
    write(tmp_path / "a.csv", [("ann", "tea"), (f"{mark}visitorId", "contentId"), ("visitorId", "cup")], COLUMNS)
    made = settings(tmp_path / "out", tmp_path / "a.csv", "table", rating={"kind": "binary"})
    rows, counts = interactions(made)
    assert set(rows) == {(b"ann", b"tea"), (b"visitorId", b"cup")} and counts["records.rejected.header"] == 1


@pytest.mark.parametrize(("second", "refused"), [(4.0, True), (2.0, False)])
def test_rows_of_a_query_have_no_order(second, refused):
    source = SourceSettings(kind="table", rating_column="stars", query="q.sql")
    table = Table(source, RatingSettings(kind="linear"), lambda path: iter(()), "q.sql")
    columns = {"visitorId": ["bob", "bob"], "contentId": ["tea", "tea"], "stars": [2.0, second]}
    raw = RawBatch(pa.RecordBatch.from_pydict(columns), pa.array([1, 2]).to_numpy())
    rows = pa.Table.from_batches([table.extract(raw, "stream 1").table])
    if refused:
        with pytest.raises(UserError, match="rows of a query"):
            table.combine(rows)
    else:
        assert table.combine(rows)[0].num_rows == 1


def test_the_summary_says_in_which_dialect_each_file_is(tmp_path, capsys):
    write(tmp_path / "a.csv", ROWS, delimiter=";")
    write(tmp_path / "b.csv", [("zoe", "pot", 1)])
    (tmp_path / "c.csv").write_bytes((tmp_path / "b.csv").read_bytes().decode().encode("utf-16"))
    made = make_dataset(
        tmp_path / "out", tmp_path / "*.csv", "table", source={"rating_column": "stars"}, rating={"kind": "linear"}
    )
    expected = {"semicolon, utf-8, header": 1, "comma, utf-8, header": 1, "comma, utf-16, header": 1}
    assert made["csv_dialects"] == expected and made["counts"]["interactions"] == 4
    assert capsys.readouterr().out.count("CSV files: ") == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"delimiter": ";;"}, "source.csv.delimiter"),
        ({"delimiter": ""}, "source.csv.delimiter"),
        ({"delimiter": "é"}, "source.csv.delimiter"),
        ({"encoding": "base64"}, "encoding base64 is not known; write e.g. latin-1"),
        ({"encoding": "utf9"}, "encoding utf9 is not known"),
        ({"quote": ";", "delimiter": ";"}, "delimiter, quote and escape must differ"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Settings.model_validate({"source": {"kind": "table", "csv": given}})


@pytest.mark.parametrize("tab", ["\t", "\\t", "tab"])
def test_a_tab_may_be_written_in_words(tmp_path, tab):
    path = write(tmp_path / "a", ROWS, delimiter="\t")
    assert ratings(path, csv={"delimiter": tab}) == LAST
