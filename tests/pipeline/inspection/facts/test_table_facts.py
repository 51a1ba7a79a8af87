"""Facts of plain tables: which columns look like ids, times, ratings and durations."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.inspection.facts.table import facts_of
from pipeline.inspection.sampling import files
from tests.support.exports import SHARED, needs_shared

T = 1_704_067_200  # 2024-01-01


def seen(tmp_path, columns: dict, form: str = "csv"):
    table = pa.table(columns)
    path = tmp_path / f"t.{form}"
    if form == "csv":
        rows = [",".join(table.column_names), *(",".join(map(str, row.values())) for row in table.to_pylist())]
        path.write_text("\n".join(rows) + "\n")
    else:
        pq.write_table(table, path)
    return facts_of(files.take(str(path)))


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        ({"visitorId": ["a", "b"], "contentId": ["x", "y"]}, ("visitorId", "contentId", None, None, None, None)),
        (
            {"userId": [1, 2], "movieId": [10, 20], "rating": [4.5, 3], "timestamp": [T, T + 9]},
            ("userId", "movieId", "timestamp", "s", "rating", None),
        ),
        (
            {"customer_id": ["a", "b"], "sku": ["x", "y"], "dwell_ms": [1, 2], "at": ["2024-01-05", "2024-01-06"]},
            ("customer_id", "sku", "at", "auto", None, "dwell_ms"),
        ),
        ({"ts": [T * 10**6, T * 10**6], "User": [1, 2], "Item": [3, 4]}, ("User", "Item", "ts", "us", None, None)),
        ({"date": [20240105, 20240106], "user": [1, 2], "isbn": [3, 4]}, ("user", "isbn", "date", "auto", None, None)),
        ({"left": ["a", "b"], "right": ["x", "y"]}, ("left", "right", None, None, None, None)),
        ({"contentId": ["x", "y"], "title": ["A", "B"]}, (None, "contentId", None, None, None, None)),
    ],
)
def test_columns_are_known_by_names_and_values(tmp_path, columns, roles):
    _, found = seen(tmp_path, columns)
    assert (found.visitor, found.item, found.time, found.time_unit, found.rating, found.duration) == roles
    assert found.guessed == ("left" in columns)


def test_answers_are_ratings_that_need_numbers(tmp_path):
    columns = {"user": [1, 2, 3], "item": [4, 5, 6], "opinion": ["good", "bad", "good"]}
    assert seen(tmp_path, columns)[1].answers == ("good", "bad")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([datetime.datetime(2024, 1, day) for day in (1, 1, 2, 5)], pa.timestamp("us")),
        pa.array([datetime.date(2024, 1, day) for day in (1, 1, 2, 5)]),
        pa.array([(T + 86_400 * day) * 1000 for day in (0, 0, 1, 4)]),
        pa.array([f"2024-01-0{day} 10:00:00 UTC" for day in (1, 1, 2, 5)]),
    ],
    ids=lambda column: str(column.type),
)
def test_days_and_who_comes_back(tmp_path, column):
    columns = {"user": ["a", "b", "a", "b"], "item": ["x", "x", "y", "y"], "seen_at": column}
    facts, roles = seen(tmp_path, columns, "parquet")
    assert roles.time == "seen_at" and facts.days == ["20240101", "20240102", "20240105"]
    assert (facts.visitors, facts.returning, facts.rows) == (2, 2, 4)
    assert [(each.filled, each.distinct) for each in facts.columns] == [(1, 2), (1, 2), (1, 3)]


def test_missing_ids_and_repeated_rows(tmp_path):
    columns = {"user": ["a", "a", "", "None", "b"], "item": ["x", "x", "x", "y", "nan"]}
    facts, _ = seen(tmp_path, columns)
    assert (facts.visitors, facts.anonymous, facts.duplicates) == (2, 0.4, 1)
    (item,) = facts.candidates
    assert (item.carried, item.distinct, item.no_ids) == (4, 2, {"nan": 1})


@needs_shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gowalla/test.csv.gz", ("user", "item", None, 217_242, 29_858, 38_546)),
        ("retailrocket/view.csv.gz", ("visitorId", "contentId", "time", 75_374, 2083, 29_521)),
        ("lastfm/interactions.csv.gz", ("fullVisitorId", "contentId", None, 52_668, 1880, 4489)),
    ],
)
def test_public_data_sets(name, expected):
    facts, roles = facts_of(files.take(str(SHARED / name)))
    shape = facts.rows, facts.visitors, facts.candidates[0].distinct
    assert (roles.visitor, roles.item, roles.time, *shape) == expected
