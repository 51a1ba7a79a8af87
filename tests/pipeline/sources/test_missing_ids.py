"""Values written in place of a missing id are not ids, in every source; rows are rejected for what they are."""

import json

import pytest

from configs.settings import RatingSettings, SourceSettings, SplitSettings
from pipeline.readers.files import ExportReader, TableReader
from pipeline.sources import ga4, ga360, table
from tests.support.exports import event, hit, session, write_ndjson

MISSING = ["(not set)", "NULL", "NaN", "null", "undefined"]


def extracted(source, path):
    """Return the rows, the rejects' reasons and the counts of a file."""
    (raw,) = source.read(str(path))
    extract = source.extract(raw, "file")
    return extract.table.to_pylist(), [json.loads(line)["reason"] for line in extract.rejects], extract.counts


@pytest.mark.parametrize("name", MISSING)
def test_ga4(tmp_path, name):
    rows = [
        event(name, "x", 5), event("a", name, 5), event("a", "x", 5),
        event("b", "x", 5, user_id=name), event("c", "x", 5, user_id="0"), event("d", "x", 5, user_id="login"),
    ]  # fmt: skip
    path = write_ndjson(tmp_path / "in", rows)
    settings = SourceSettings(kind="ga4", input="x", prefer_user_id=True)
    found, rejects, counts = extracted(ga4.Ga4(settings, SplitSettings()), path)
    assert [row["visitorId"] for row in found] == [b"a", b"b", b"c", b"login"] and rejects == []
    assert (counts["records.skipped.no_visitor_id"], counts[f"records.skipped.not_an_id.{name}"]) == (1, 1)
    kept = SourceSettings(kind="ga4", input="x", missing_ids=[])
    assert len(extracted(ga4.Ga4(kept, SplitSettings()), path)[0]) == 6


@pytest.mark.parametrize("name", MISSING)
def test_ga360(tmp_path, name):
    rows = [session(name, 5, [hit(1, 0, "x")]), session("a", 5, [hit(1, 0, "x"), hit(2, 10, name), hit(3, 30, "y")])]
    path = write_ndjson(tmp_path / "in", rows)
    found, rejects, counts = extracted(ga360.Ga360(SourceSettings(input="x"), ExportReader(ga360.SCHEMA)), path)
    assert [row["contentId"] for row in found] == [b"x", None, b"y"], "a page without item still ends the one before"
    assert rejects == ["visitor_id_missing"] and counts[f"items.skipped.not_an_id.{name}"] == 1


@pytest.mark.parametrize("name", [*MISSING, "nan", "None"])
def test_a_table(tmp_path, name):
    path = tmp_path / "in.csv"
    path.write_text(f"visitorId,contentId\n{name},x\na,{name}\na,x\n")
    settings = SourceSettings(kind="table", input="x")
    source = table.Table(settings, RatingSettings(), TableReader(table.column_names(settings)).read)
    found, rejects, _ = extracted(source, path)
    assert len(found) == 1 and sorted(rejects) == ["content_id_missing", "visitor_id_missing"]


@pytest.mark.parametrize("date", [None, "", "20241305", "soon", "1970", 5])
def test_an_invalid_date_is_rejected_and_not_outside_the_window(tmp_path, date):
    path = write_ndjson(tmp_path / "in", [event("a", "x", 5), event("a", "x", 5, event_date=date)])
    window = {"start_date": "2023-01-01", "end_date": "2025-01-01"}
    found, rejects, counts = extracted(ga4.Ga4(SourceSettings(kind="ga4", input="x", **window), SplitSettings()), path)
    assert len(found) == 1 and rejects == ["date_invalid"] and counts["records.skipped.outside_window"] == 0
    found, rejects, _ = extracted(ga4.Ga4(SourceSettings(kind="ga4", input="x"), SplitSettings()), path)
    assert len(found) == 2 and rejects == [], "without a window nobody needs the date"


@pytest.mark.parametrize("date", ["2024-01-01", 20240101, "20240101"])
def test_dates_as_other_tools_write_them(tmp_path, date):
    path = write_ndjson(tmp_path / "in", [event("a", "x", 5, event_date=date)])
    window = {"start_date": "2024-01-01", "end_date": "2024-01-01"}
    source = ga4.Ga4(SourceSettings(kind="ga4", input="x", **window), SplitSettings())
    assert len(extracted(source, path)[0]) == 1


def test_what_looks_special_and_is_an_id(tmp_path):
    names = ["nan", "None", "0", "-1", "True", "[UNK]", " ", "\t", "a\0b", "\u2028x", "e\u0301", "\u00e9"]
    path = write_ndjson(tmp_path / "in", [event(name, name, 5) for name in names])
    found, rejects, _ = extracted(ga4.Ga4(SourceSettings(kind="ga4", input="x"), SplitSettings()), path)
    assert [row["visitorId"].decode() for row in found] == names and rejects == []
