"""Attributes as tables have them, against what the graph's inputs should be."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from artifacts.features.fields import Field
from configs.errors import UserError
from pipeline.dataset.features import blocks, raw
from pipeline.interactions import columns
from pipeline.sources.items import attributes

DAY_MS = 86_400_000
DAY_0 = 1_704_067_200_000  # 2024-01-01


def of(kind: str, values, dimension: int = 0, **limits) -> tuple[list, dict[str, int]]:
    """Return the inputs of one field, and its counts without those that are 0."""
    field = Field("a", kind, dimension=dimension, separator="|" if kind == "tags" else None)
    made = raw.of_table(pa.table({"a": values}), [field], DAY_0 + 10 * DAY_MS, **limits)
    inputs = made.columns["a"]
    return inputs.tolist() if isinstance(inputs, np.ndarray) else inputs.to_pylist(), dict(+made.counts)


@pytest.mark.parametrize(
    ("kind", "values", "expected", "rows"),
    [
        ("category", ["x", None, "", " "], ["x", "", "", " "], 1),
        ("category", [1.0, 2.5, None], ["1", "2.5", ""], 2),
        ("category", [True, None], ["true", ""], 1),
        ("category", pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"], 3),
        ("tags", [["a", "b"], [], None, ["c", None]], ["a|b", "", "", "c|"], 2),
        ("text", [["one", "two"]], ["one two"], 1),
        ("text", pa.array(["x", "y"], pa.large_string()), ["x", "y"], 2),
        ("number", ["1.5", "-2", None], [1.5, -2.0, np.nan], 2),
        ("number", [1, None], [1.0, np.nan], 1),
        ("price", [0.0, None, 2.5], [0.0, np.nan, 2.5], 2),
        ("time", [DAY_0 + 9 * DAY_MS, DAY_0 + 11 * DAY_MS, None], [1.0, 0.0, np.nan], 2),
        ("time", ["2024-01-06", None], [5.0, np.nan], 1),
        ("time", [DAY_0 // 1000, 20240103, DAY_0 * 1000, DAY_0 * 1_000_000], [10.0, 8.0, 10.0, 10.0], 4),
        ("time", [DAY_0 / 1000, float(DAY_0), None], [10.0, 10.0, np.nan], 2),
        ("embedding", [[1.0, 2.0], None], [[1.0, 2.0], [0.0, 0.0]], 1),
        ("text", pa.nulls(2), ["", ""], 0),
        ("embedding", pa.nulls(1), [[0.0, 0.0]], 0),
    ],
)
def test_values_of_each_kind(kind, values, expected, rows):
    inputs, counts = of(kind, values, 2 if kind == "embedding" else 0)
    np.testing.assert_array_equal(inputs, expected)
    assert counts == {name: n for name, n in {"rows.a": rows, "missing.a": len(inputs) - rows}.items() if n}


def test_a_column_that_is_not_there_is_missing():
    made = raw.of_table(pa.table({"b": [1]}), [Field("a", "number"), Field("t", "text")], None)
    assert np.isnan(made.columns["a"]).all() and made.columns["t"].to_pylist() == [""]
    assert +made.counts == {"missing.a": 1, "missing.t": 1}


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("number", ["1", "many", None], "not_a_number.a"),
        ("number", [1.0, float("nan"), None], "not_a_number.a"),
        ("price", [1.0, -1.0, None], "not_a_number.a"),
        ("time", ["2024-01-01", "yesterday", None], "not_a_time.a"),
        ("time", [DAY_0, 7, None], "not_a_time.a"),
        ("embedding", [[1.0, 2.0], [1.0, float("nan")], None], "not_finite.a"),
        ("embedding", [[1.0, 2.0], [1.0, float("inf")], None], "not_finite.a"),
    ],
)
def test_values_that_are_not_of_the_kind_are_counted_and_missing(kind, values, reason):
    _, counts = of(kind, values, 2 if kind == "embedding" else 0)
    assert counts == {"rows.a": 1, "missing.a": 2, reason: 1}


def test_a_long_text_is_cut_and_counted():
    inputs, counts = of("text", ["é" * 30, "short"], text_limit=10)
    assert inputs == ["é" * 10, "short"] and counts["cut.a"] == 1


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("embedding", [[1.0, 2.0], [1.0]], "embeddings of 1, 2 numbers"),
        ("embedding", [[1.0, 2.0, 3.0]], "embeddings of 2, 3 numbers"),
        ("number", [["x"]], "is list<.*which is not a number; choose another kind"),
        ("category", pa.array([{"x": 1}]), "write it as text"),
    ],
)
def test_columns_that_cannot_be_of_a_kind_are_one_line(kind, values, said):
    with pytest.raises(UserError, match=said):
        of(kind, values, 2 if kind == "embedding" else 0)


def test_new_items_are_those_with_attributes_that_are_not_in_the_vocabulary():
    table = pa.table({"contentId": pa.array(["b", "a", " new ", "a\nb", None, "new", "  "])})
    assert blocks.new_ids([b"a", b"b"], [b""], table) == ([b"new"], 2)
    assert blocks.new_ids([b"a"], [], None) == ([], 0)


def test_blocks_have_the_keys_of_their_rows():
    known = pa.table({"a": ["x", None, "z"]})
    items = blocks.Attributes(known, [b"n0", b"n1"], pa.table({"a": ["v", "w"]}), 0, None)
    made = list(blocks.of_items(items, [Field("a", "category")], rows=2))
    assert [(block.is_new, block.rows.to_pydict()) for block in made] == [
        (False, {"key": [[0], [1]], "a": [[b"x"], [b""]]}),
        (False, {"key": [[2]], "a": [[b"z"]]}),
        (True, {"key": [[-1], [-2]], "a": [[b"v"], [b"w"]]}),
    ]
    nothing = blocks.Attributes(known.slice(0, 0), [], known.slice(0, 0), 0, None)
    (block,) = blocks.of_items(nothing, [Field("a", "category")])
    assert not block.is_new and block.rows.num_rows == 0


def test_ages_are_measured_at_the_last_moment_that_is_known():
    day, fields = datetime.date(2024, 1, 3), [Field("a", "time")]

    def table(last, time):
        return pa.table({"last_time_ms": pa.array([last], pa.int64()), "a": pa.array([time], pa.int64())})

    assert blocks.as_of_ms(table(DAY_0 + 7, DAY_0 + 5), day, fields) == DAY_0 + 7
    assert blocks.as_of_ms(table(None, DAY_0 + 5), day, fields) == DAY_0 + 3 * DAY_MS
    assert blocks.as_of_ms(table(None, DAY_0 + 5), None, fields) == DAY_0 + 5
    assert blocks.as_of_ms(table(None, None), None, fields) == 0
    assert blocks.as_of_ms(table(DAY_0, DAY_0), day, [Field("a", "number")]) is None


def test_the_account_is_of_known_items_but_for_values_that_are_not_of_their_kind():
    known, new = pa.table({"a": ["1", None, "x"]}), pa.table({"a": ["y", "2"]})
    items = blocks.Attributes(known, [b"n0", b"n1"], new, 3, None)
    counts = sum(
        (block.counts for block in blocks.of_items(items, [Field("a", "number")], rows=2)), blocks.count(items)
    )
    assert {name.removeprefix("item_features."): number for name, number in counts.items()} == {
        "items": 3,
        "new": 2,
        "new_unfit": 3,
        "rows.a": 1,
        "missing.a": 2,
        "not_a_number.a": 2,
    }


def test_attributes_of_the_data_bring_in_items_that_nobody_has_viewed():
    items, times = pa.array([b"seen", b"listed", None, b"listed"]), np.arange(4)
    titles = attributes.Located.of_rows(pa.array([b"s", b"old", b"none", b"new"]))
    values = attributes.collect(items, times, {"title": titles})
    assert blocks.new_ids([b"seen"], [b"", columns.to_bytes(values)], None) == ([b"listed"], 0)
