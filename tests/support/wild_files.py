"""Schemas of exports, and rows of odd values and types in Parquet and Avro: for the fuzz tests."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from pipeline.readers import json_arrow
from pipeline.sources.events.schema import SCHEMA as GA4_SCHEMA
from tests.support import wild

DIMENSIONS = ("customDimensions", pa.list_(pa.struct([("index", pa.int64()), ("value", pa.string())])))
PRODUCT = pa.struct(
    [("productSKU", pa.string()), ("productQuantity", pa.int64()), ("isImpression", pa.bool_()), DIMENSIONS]
)
HIT = pa.struct(
    [
        ("hitNumber", pa.int64()),
        ("time", pa.int64()),
        ("type", pa.string()),
        ("page", pa.struct([("pagePath", pa.string())])),
        ("product", pa.list_(PRODUCT)),
        ("eCommerceAction", pa.struct([("action_type", pa.string())])),
        ("eventInfo", pa.struct([("eventCategory", pa.string()), ("eventLabel", pa.string())])),
        DIMENSIONS,
    ]
)
SESSION = pa.schema(
    [
        ("fullVisitorId", pa.string()),
        ("visitNumber", pa.int64()),
        ("visitId", pa.int64()),
        ("visitStartTime", pa.int64()),
        ("date", pa.string()),
        DIMENSIONS,
        ("hits", pa.list_(HIT)),
    ]
)
EVENT = pa.schema([json_arrow.with_integers(item) for item in GA4_SCHEMA])
OTHER_TYPES = [pa.string(), pa.binary(), pa.float64(), pa.int32(), pa.bool_(), pa.list_(pa.string()), pa.date32()]


_START = 1704067200
_STAMPS = {"visitStartTime": _START, "event_timestamp": _START * 1_000_000, "at": _START * 1000}


def values(kind: pa.DataType, name: str = "") -> st.SearchStrategy:
    """Draw values of a type, odd ones too, and nulls; most of a column of times are times."""
    if pa.types.is_struct(kind):
        own: st.SearchStrategy = st.fixed_dictionaries({item.name: values(item.type, item.name) for item in kind})
    elif pa.types.is_int64(kind) and name in _STAMPS:
        own = wild.mostly(st.sampled_from([_STAMPS[name], _STAMPS[name] + 7]), values(kind))
    elif pa.types.is_list(kind):
        own = st.lists(values(kind.value_type), max_size=3)
    elif pa.types.is_integer(kind):
        limit = 2 ** (kind.bit_width - 1)
        own = st.sampled_from([1, 2, 10, 10, 0, -1, limit - 1, -limit]) | st.integers(-limit, limit - 1)
    elif pa.types.is_floating(kind):
        own = st.sampled_from([1.0, 2.5, -0.0]) | st.floats()
    elif pa.types.is_boolean(kind):
        own = st.booleans()
    elif pa.types.is_date(kind):
        own = st.dates()
    elif pa.types.is_null(kind):
        own = st.none()
    elif pa.types.is_binary(kind):
        own = st.binary(max_size=4)
    else:
        names = ["PAGE", "EVENT", "3", "Video", "a", "x", "20240105", "purchase", "view_item", "content_id", "value"]
        own = wild.texts.filter(_has_bytes) | st.sampled_from(names)
    return wild.mostly(own, st.none())


def _has_bytes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@st.composite
def parquet(draw, schema: pa.Schema) -> tuple[bytes, int]:
    """Draw a Parquet file, one of whose columns may be missing or of another type, and its number of rows."""
    fields = []
    for item in schema:
        fate = draw(st.integers(0, 20))
        if fate:
            fields.append(item.with_type(draw(st.sampled_from(OTHER_TYPES))) if fate == 1 else item)
    row = st.fixed_dictionaries({item.name: values(item.type, item.name) for item in fields})
    rows = draw(st.lists(row, min_size=1, max_size=4))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), sink)
    return sink.getvalue().to_pybytes(), len(rows)


def avro_type(kind: pa.DataType, name: str) -> dict | list | str:
    if pa.types.is_struct(kind):
        fields = [{"name": item.name, "type": avro_type(item.type, f"{name}_{item.name}")} for item in kind]
        return {"type": "record", "name": f"r_{name}", "fields": fields}
    if pa.types.is_list(kind):
        return {"type": "array", "items": avro_type(kind.value_type, name)}
    return ["null", {pa.int64(): "long", pa.float64(): "double", pa.bool_(): "boolean"}.get(kind, "string")]


def without_nulls(kind: pa.DataType, value):
    """Return a value as bq extract writes it in Avro: lists and records are never null, but may be empty."""
    if pa.types.is_struct(kind):
        return {item.name: without_nulls(item.type, (value or {}).get(item.name)) for item in kind}
    if pa.types.is_list(kind):
        return [without_nulls(kind.value_type, part) for part in value or []]
    return value
