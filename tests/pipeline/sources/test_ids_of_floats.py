"""A number is one id, whatever format it is written in; against decimal."""

import io
import json
import math
from decimal import Decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifacts import catalogue
from artifacts.vocabulary import INEXACT
from pipeline.readers import avro, parquet
from pipeline.readers.ndjson import NdjsonReader
from pipeline.sources import columns

NAME = "user_pseudo_id"
SCHEMA = pa.schema([(NAME, pa.string())])
DUE = [1e-07, 1e-05, 1e15 + 0.5, 5e-324, 0.1, -0.0, 7.0, 2.0**53, 2.0**53 + 2, 1e16, 1e300, math.nan, math.inf, -2.5]


def by_hand(value: float) -> bytes | None:
    """Return the id of a float."""
    if math.isnan(value):
        return None
    is_whole = value.is_integer() and (abs(value) <= 2**53 or (abs(value) < 1e18 and value % 1000 == 0))
    if not is_whole and abs(value) >= 2**53:
        return INEXACT
    return (str(int(value)) if is_whole else format(Decimal(repr(value)), "f")).encode()


def of_json(numbers: list[float]) -> list[bytes | None]:
    lines = b"".join(json.dumps({NAME: value}).encode() + b"\n" for value in numbers)
    read = NdjsonReader(SCHEMA, bytes_before_compiling=math.inf).read(io.BytesIO(lines))
    return [value for raw in read for value in columns.ids(raw.columns[NAME]).to_pylist()]


def of_parquet(numbers: list[float]) -> list[bytes | None]:
    file = io.BytesIO()
    pq.write_table(pa.table({NAME: pa.array(numbers, pa.float64())}), file)
    return [value for batch in parquet.batches(file, SCHEMA, 100) for value in columns.ids(batch[NAME]).to_pylist()]


def of_avro(numbers: list[float], kind: str | list[str], more: tuple[str, ...] = ()) -> list[bytes | None]:
    """Return the ids of a file whose column has a type of Avro; more: ids that are text, which a union can have."""
    file, schema = io.BytesIO(), {"type": "record", "name": "row", "fields": [{"name": NAME, "type": kind}]}
    fastavro.writer(file, schema, [{NAME: value} for value in (*numbers, *more)])
    file.seek(0)
    return [value for batch in avro.batches(file, SCHEMA, 100) for value in columns.ids(batch[NAME]).to_pylist()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats() | st.integers(-(2**60), 2**60).map(float) | st.sampled_from(DUE), min_size=1, max_size=9))
@example(DUE)
def test_all_formats_have_the_same_ids(numbers):
    expected = list(map(by_hand, numbers))
    assert columns.ids(pa.array(numbers, pa.float64())).to_pylist() == expected  # as BigQuery's rows are
    assert of_json(numbers) == expected
    assert of_parquet(numbers) == expected
    assert of_avro(numbers, "double") == expected
    assert of_avro(numbers, ["null", "string", "double"], ("a", "1e-07")) == [*expected, b"a", b"1e-07"]
    for value, name in zip(numbers, expected, strict=True):
        if name not in (None, INEXACT):
            assert catalogue.as_text(pa.array([value]), "file").to_pylist() == [name.decode()]
            number = Decimal(name.decode())
            if number.as_tuple().exponent > -40:
                assert columns.ids(pa.array([number], pa.decimal256(76, 40))).to_pylist() == [name]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
@pytest.mark.parametrize(("value", "name"), [(1e-5, "0.00001"), (0.1, "0.1"), (2.5, "2.5"), (1024.0, "1024")])
def test_narrow_floats_have_no_exponent_either(kind, value, name):
    assert columns.ids(pa.array([value]).cast(kind)).to_pylist() == [name.encode()]
