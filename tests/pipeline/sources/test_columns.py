"""Checks of ids and numbers, against the same checks in plain Python."""

import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.sources import columns


@given(st.lists(st.one_of(st.binary(max_size=12), st.none(), st.text(max_size=5).map(str.encode)), max_size=20))
@example([b"a\rb", b"c"])
@example([b"a", b"\nb", None])
def test_faults_of_ids(ids):
    def plain(value):
        if value is None:
            return None
        if not value:
            return "empty"
        try:
            value.decode()
        except UnicodeDecodeError:
            return "not_utf8"
        return "newline" if b"\n" in value or b"\r" in value else None

    found = columns.faults_of_ids(pa.array(ids, pa.binary())).tolist()
    assert found == [plain(value) for value in ids]


@pytest.mark.parametrize("end", [b"\n", b"\r"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_end_is_told_wherever_it_is(end, place):
    ids = [b"a", b"b", b"c"]
    ids[place] += end
    expected = ["newline" if end in name else None for name in ids]
    assert columns.faults_of_ids(pa.array(ids, pa.binary())).tolist() == expected


def test_values_are_taken_at_places():
    values = pa.array(["a", "b", "c"])
    for places in ([0, 1, 2], [0, 1], [2, 0, 1, 1], [0, columns.NOTHING, 2], [columns.NOTHING], []):
        expected = [None if place == columns.NOTHING else "abc"[place] for place in places]
        assert columns.taken(values, np.array(places, np.int64)).to_pylist() == expected
    assert columns.NOTHING < 0


def test_a_field_that_is_missing_is_null():
    structs = pa.array([{"a": 1, "b": "x"}, None])
    assert columns.field(structs, "a").to_pylist() == [1, None]
    assert columns.field(structs, "b").to_pylist() == ["x", None]
    assert columns.field(structs, "c").to_pylist() == columns.field(pa.nulls(2), "a").to_pylist() == [None, None]


def test_numbers_as_files_write_them():
    texts = pa.array([b"12", b"-3", b"1.5", b"", b"9" * 20, None, b"x"], pa.binary())
    values, sound = columns.integers(texts)
    assert values.tolist() == [12, -3, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True, True, False, False, False, False, False]
    values, sound = columns.integers(pa.array([2.0, 2.5, None, float("nan"), float("inf"), 1e300]))
    assert values.tolist() == [2, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True] + [False] * 5
    values, sound = columns.floats(
        pa.array([b"1e3", b" 2.5 ", b"+1", b"nan", b"inf", b"\xff", b"1e999", None], pa.binary())
    )
    assert values.tolist() == [1000, 2.5, 1, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True] * 3 + [False] * 5


IDS = {
    "floats": (pa.array([1.0, 9780306406157.0, 2.0**53, 1e16, -0.0, 1.5, None]),
               [b"1", b"9780306406157", b"9007199254740992", b"10000000000000000", b"0", b"1.5", None]),
    "NaN": (pa.array([float("nan"), 3.0]), [None, b"3"]),
    "float32": (pa.array([1.5, 42.0], pa.float32()), [b"1.5", b"42"]),
    "unsigned": (pa.array([2**64 - 1, 7], pa.uint64()), [b"18446744073709551615", b"7"]),
    "decimals": (pa.array([Decimal("101.000000000"), Decimal("1.5"), Decimal(-100), None], pa.decimal128(38, 9)),
                 [b"101", b"1.5", b"-100", None]),
    "small decimals": (pa.array([Decimal(0), Decimal("0.00000015"), Decimal("-0.1")], pa.decimal128(38, 9)),
                       [b"0", b"0.00000015", b"-0.1"]),
    "whole decimals": (pa.array([Decimal("100"), Decimal("7")], pa.decimal128(10, 0)), [b"100", b"7"]),
    "large text": (pa.array(["a", None], pa.large_string()), [b"a", None]),
    "views": (pa.array(["a", "b" * 20], pa.string_view()), [b"a", b"b" * 20]),
    "large bytes": (pa.array([b"a"], pa.large_binary()), [b"a"]),
    "categories": (pa.array(["a", "b", "a"]).dictionary_encode(), [b"a", b"b", b"a"]),
    "categories of floats": (pa.array([1.0, 2.0, 1.0]).dictionary_encode(), [b"1", b"2", b"1"]),
    "booleans": (pa.array([True, False]), [b"true", b"false"]),
    "nulls": (pa.nulls(2), [None, None]),
    "UUIDs": (pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()), [str(uuid.UUID(int=7)).encode(), None]),
}  # fmt: skip


@pytest.mark.parametrize("name", IDS)
def test_ids_are_the_sites_ids(name):
    column, expected = IDS[name]
    assert columns.ids(column).to_pylist() == expected
    assert columns.coded_ids(column).to_pylist() == expected
    assert columns.faults_of_ids(columns.ids(column)).tolist() == [None] * len(expected)


def test_of_a_dictionary_longer_than_its_rows_only_the_used_ids_are_kept():
    whole = pa.array(["a", "b", "c", None, "b"]).dictionary_encode()
    part = whole.slice(3)
    assert columns.coded_ids(whole).to_pylist() == [b"a", b"b", b"c", None, b"b"]
    assert columns.coded_ids(part).to_pylist() == [None, b"b"]
    assert columns.coded_ids(part).dictionary.to_pylist() == [b"b"]


@pytest.mark.parametrize("value", [1.2345678901234568e16, 2.0**53 + 2, 1e18, 1e300, float("inf"), -(2.0**60)])
def test_floats_that_may_have_lost_digits_are_no_ids(value):
    assert columns.faults_of_ids(columns.ids(pa.array([value, 1.0]))).tolist() == ["inexact", None]


@pytest.mark.parametrize("value", [2.0**24 + 2, 1e10, float("inf")])
def test_narrow_floats_lose_digits_earlier(value):
    ids = columns.ids(pa.array([value, 2.0**24, 0.1], pa.float32()))
    assert columns.faults_of_ids(ids).tolist() == ["inexact", None, None]
    assert ids.to_pylist()[1:] == [b"16777216", b"0.1"]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.date32(), pa.list_(pa.string()), pa.struct([("a", pa.int8())])]
)
def test_what_cannot_be_an_id_is_refused(kind):
    with pytest.raises(pa.ArrowException):
        columns.ids(pa.array([None], kind))


def test_integers_of_every_type():
    for column in (
        pa.array([5, 1704448800000, None], pa.uint64()),
        pa.array([5.0, 1704448800000.0, 2.5]),
        pa.array([Decimal("5"), Decimal("1704448800000"), Decimal("2.5")], pa.decimal128(20, 1)),
        pa.array(["5", "1704448800000", "2.5"], pa.large_string()),
        pa.array(["5.0", "1704448800000.", ""], pa.string_view()),
        pa.array(["5", "1704448800000", "2.5"]).dictionary_encode(),
    ):
        values, sound = columns.integers(column)
        assert (values.tolist(), sound.tolist()) == ([5, 1704448800000, 0], [True, True, False]), column.type
    values, sound = columns.integers(pa.array([2**63, 2**63 - 1, 2**64 - 1], pa.uint64()))
    assert (values.tolist(), sound.tolist()) == ([0, 2**63 - 1, 0], [False, True, False])
    texts = ["9223372036854775807", "9223372036854775808", "1704448800000000000", "-9223372036854775807", "9" * 20]
    values, sound = columns.integers(pa.array(texts))
    assert sound.tolist() == [True, False, True, True, False]
    assert values.tolist() == [2**63 - 1, 0, 1704448800000000000, -(2**63 - 1), 0]


def test_numbers_of_every_type():
    for column in (pa.array([True, False]), pa.array([Decimal("1.0"), Decimal(0)], pa.decimal128(9, 2))):
        values, sound = columns.floats(column)
        assert (values.tolist(), sound.tolist()) == ([1, 0], [True, True])
