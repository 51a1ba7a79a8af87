"""Each event counts once: which table of a day is read, told by the name of a table, a file or a directory."""

import datetime

import pytest

from artifacts.names import FINAL, FRESH, INTRADAY, day_table_of_path
from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.sources.input_files import match_files
from tests.support.exports import event, write_ndjson

DAY = datetime.date(2024, 1, 5)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("events_20240105.json", FINAL),
        ("gs://b/x/events_20240105", FINAL),
        ("x/ga_sessions_20240105-000000000001.avro", FINAL),
        ("x/site-events_20240105.json", FINAL),
        ("x/analytics_123.events_fresh_20240105.json.gz", FRESH),
        ("x/events_intraday_20240105.json", INTRADAY),
        ("x/ga_sessions_intraday_20240105.json", INTRADAY),
        ("x/events_20240105/part-0.json", FINAL),
        ("x/events_intraday_20240105/hour=3/part-0.json", INTRADAY),
        ("events_20240101/events_fresh_20240105.json", FRESH),
        ("x/EVENTS_INTRADAY_20240105.JSON", INTRADAY),
        ("x/events_2024-01-05.json", FINAL),
        ("x/events_intraday_2024_01_05.json", INTRADAY),
        ("x/events_2024-0105.json", None),
        ("x/events_202401051.json", None),
        ("x/events_20241305.json", None),
        ("x/pseudonymous_users_20240105", None),
        ("x/myevents_20240105", None),
        ("x/events_hourly_20240105", None),
        ("x/part-0.json", None),
        ("x/dt=20240105/events_intraday/part-0", INTRADAY),
        ("x/events_fresh/dt=2024-01-05/hour=3/part-0.json", FRESH),
        ("x/events/2024-01-05/part-0.json", FINAL),
        ("x/table=ga_sessions_intraday/20240105.json.gz", INTRADAY),
        ("x/dt=20240105/part-0", None),
        ("x/intraday/20240105/part-0", None),
        ("x/events/20241305/part-0", None),
    ],
)
def test_the_table_of_a_path(path, version):
    table = day_table_of_path(path)
    assert table == (None if version is None else (DAY, version))


@pytest.mark.parametrize(
    ("names", "unfinished", "kept"),
    [
        (["events_20240105.json", "events_fresh_20240105.json", "events_intraday_20240106.json"], False, [0]),
        (["events_20240105.json", "events_intraday_20240105.json"], True, [0]),
        (["events_fresh_20240105.json", "events_intraday_20240105.json", "events_20240104.json"], True, [0, 2]),
        (["events_fresh_20240105.json", "events_intraday_20240106.json", "events_20240104.json"], True, [0, 1, 2]),
        (["final/events_20240105.json", "open/events_intraday_20240105.json"], True, [0]),
        (["events_20240105/part-0", "events_20240105/part-1", "events_intraday_20240105/part-0"], True, [0, 1]),
        (["events_intraday_20240105/part-0", "events_intraday_20240105/part-1"], True, [0, 1]),
        (["events_20240105.json", "other.json"], False, [0, 1]),
        (["events_2024-01-05.json", "events_intraday_2024-01-05.json"], True, [0]),
        (["dt=20240105/events_intraday/part-0", "dt=20240105/events_20240105.json"], True, [1]),
        (["dt=20240105/events/part-0", "dt=20240105/events_fresh/part-0"], True, [0]),
    ],
)
def test_a_day_is_read_from_its_best_table(tmp_path, names, unfinished, kept):
    for name in names:
        write_ndjson(tmp_path / name, [event("a", "x", 1)])
    source = SourceSettings(kind="ga4", input=f"{tmp_path}/**", include_intraday=unfinished)
    assert match_files(source).files == sorted(str(tmp_path / names[index]) for index in kept)


def test_leftovers_of_other_tools_are_not_read(tmp_path):
    root = tmp_path / ".hidden" / "_export"
    names = ["events_20240105.json", "_temporary/0/events_20240105.json", ".events_20240105.json.crc", "_SUCCESS"]
    for name in names:
        write_ndjson(root / name, [event("a", "x", 1)])
    for glob in (f"{root}/**", f"{root}/*", f"{root}/events_20240105.json"):
        assert match_files(SourceSettings(kind="ga4", input=glob)).files == [f"{root}/events_20240105.json"]


def test_only_unfinished_tables_are_no_input(tmp_path):
    write_ndjson(tmp_path / "events_fresh_20240105.json", [event("a", "x", 1)])
    with pytest.raises(UserError, match=r"1 intraday or fresh files do, which source.include_intraday reads"):
        match_files(SourceSettings(kind="ga4", input=f"{tmp_path}/events_*"))
