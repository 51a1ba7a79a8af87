"""Avro files whose types no export has, but other writers: each id is read as it is, or the file is refused."""

import io
from decimal import Decimal

import fastavro
import pytest

from configs.errors import UserError
from tests.support.exports import interactions, settings


def write(path, kind, values, stamp="long", stamps=None):
    """Write one GA4 event per visitorId of an Avro type, at times of a type."""
    value = {"type": "record", "name": "v", "fields": [{"name": n, "type": ["null", t]} for n, t in VALUES.items()]}
    param = {
        "type": "record",
        "name": "p",
        "fields": [{"name": "key", "type": "string"}, {"name": "value", "type": value}],
    }
    schema = {
        "type": "record",
        "name": "row",
        "fields": [
            {"name": "user_pseudo_id", "type": kind},
            {"name": "event_timestamp", "type": stamp},
            {"name": "event_params", "type": {"type": "array", "items": param}},
        ],
    }
    item = {"key": "content_id", "value": {"string_value": "tea", "int_value": None}}
    dwell = {"key": "engagement_time_msec", "value": {"string_value": None, "int_value": 1000}}
    rows = [
        {"user_pseudo_id": name, "event_timestamp": time, "event_params": [item, dwell]}
        for name, time in zip(values, stamps or range(1704067200000000, 1704067200000000 + len(values)), strict=True)
    ]
    file = io.BytesIO()
    fastavro.writer(file, schema, rows)
    path.write_bytes(file.getvalue())
    return path


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}  # BigQuery's NUMERIC
VALUES = {"string_value": "string", "int_value": "long"}


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (["null", "string", "long"], ["ann", 7, None], {b"ann", b"7"}),
        (["long", "string"], [7, 2**60, "ann"], {b"7", b"1152921504606846976", b"ann"}),
        (["string", "double"], ["ann", 7.0], {b"ann", b"7"}),
        (["bytes", "long"], [b"ann", 7], {b"ann", b"7"}),
        ("bytes", [b"ann", b"b\xff", b"bob"], {b"ann", b"bob"}),
        (DECIMAL, [Decimal("101.000000000"), Decimal(0), Decimal("7.5")], {b"101", b"0", b"7.5"}),
        (DECIMAL | {"precision": 39, "scale": 0}, [Decimal(10) ** 38, Decimal(7)], {b"1" + b"0" * 38, b"7"}),
        (["null", DECIMAL | {"precision": 77, "scale": 38}], [Decimal(10) ** 20, None], {b"1" + b"0" * 20}),
    ],
)
def test_ids_of_several_types_are_read_each_as_it_is(tmp_path, kind, values, expected):
    pairs, counts = interactions(settings(tmp_path / "out", write(tmp_path / "in", kind, values), "ga4"))
    assert {visitor for visitor, _ in pairs} == expected
    assert counts["records.read"] == len(values)


OF_LONG = {"timestamp-millis": 1000, "timestamp-micros": 10**6, "local-timestamp-micros": 10**6}


@pytest.mark.parametrize("logical", [*OF_LONG, "time-micros", "date"])
def test_a_time_out_of_range_loses_its_record_alone(tmp_path, logical):
    kind = {"type": "int" if logical == "date" else "long", "logicalType": logical}
    sound = 19723 if logical == "date" else 1704067200 * OF_LONG.get(logical, 1)
    beyond = 2**31 - 1 if logical == "date" else 2**62
    path = write(tmp_path / "in", "string", ["ann", "bob", "cid"], kind, [sound, beyond, -beyond])
    pairs, counts = interactions(settings(tmp_path / "out", path, "ga4"))
    kept = [] if logical == "time-micros" else [(b"ann", 1704067200000)]
    assert [(visitor, time) for (visitor, _), (_, time) in pairs.items()] == kept
    assert counts["records.rejected.event_timestamp_invalid"] == 3 - len(kept)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ({"type": "map", "values": "string"}, {"zoe": "x"}, "user_pseudo_id is map, and not a single value"),
        ({"type": "array", "items": "string"}, ["zoe"], "user_pseudo_id is list of string, and not a single value"),
        (
            {"type": "record", "name": "r", "fields": [{"name": "zoe", "type": "long"}]},
            {"zoe": 1},
            "user_pseudo_id is struct, and not a single value",
        ),
    ],
)
def test_ids_of_another_form_are_refused_for_it(tmp_path, kind, value, said):
    with pytest.raises(UserError, match=said) as error:
        interactions(settings(tmp_path / "out", write(tmp_path / "in", kind, [value]), "ga4"))
    assert "zoe" not in str(error.value)


@pytest.mark.parametrize(("codec", "length"), [("zstandard", b"\x12"), ("brotli", b"\x0c")])
def test_a_codec_that_cannot_be_read_is_named(tmp_path, codec, length):
    """As the file of a writer that has a library for it."""
    path = write(tmp_path / "in", "string", ["zoe"])
    path.write_bytes(path.read_bytes().replace(b"\x08null", length + codec.encode(), 1))
    with pytest.raises(UserError, match=f"but Avro compressed by {codec}; write it with deflate or snappy") as error:
        interactions(settings(tmp_path / "out", path, "ga4"))
    assert "zoe" not in str(error.value)
