"""Avro files whose types no export has, but other writers: each id is read as it is, or the file is refused."""

import io

import fastavro
import pytest

from tests.support.exports import interactions, settings


def write(path, kind, values):
    """Write one GA4 event per visitorId of an Avro type."""
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
            {"name": "event_timestamp", "type": "long"},
            {"name": "event_params", "type": {"type": "array", "items": param}},
        ],
    }
    item = {"key": "content_id", "value": {"string_value": "tea", "int_value": None}}
    dwell = {"key": "engagement_time_msec", "value": {"string_value": None, "int_value": 1000}}
    rows = [
        {"user_pseudo_id": name, "event_timestamp": 1704067200000000 + n, "event_params": [item, dwell]}
        for n, name in enumerate(values)
    ]
    file = io.BytesIO()
    fastavro.writer(file, schema, rows)
    path.write_bytes(file.getvalue())
    return path


VALUES = {"string_value": "string", "int_value": "long"}


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (["null", "string", "long"], ["ann", 7, None], {b"ann", b"7"}),
        (["long", "string"], [7, 2**60, "ann"], {b"7", b"1152921504606846976", b"ann"}),
        (["string", "double"], ["ann", 7.0], {b"ann", b"7"}),
        (["bytes", "long"], [b"ann", 7], {b"ann", b"7"}),
        ("bytes", [b"ann", b"b\xff", b"bob"], {b"ann", b"bob"}),
    ],
)
def test_ids_of_several_types_are_read_each_as_it_is(tmp_path, kind, values, expected):
    pairs, counts = interactions(settings(tmp_path / "out", write(tmp_path / "in", kind, values), "ga4"))
    assert {visitor for visitor, _ in pairs} == expected
    assert counts["records.read"] == len(values)
