"""Parquet, Avro and CSV of odd values and types: the account of a file adds up, or one line refuses it."""

import csv
import io

import fastavro
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import SourceSettings
from tests.support import wild
from tests.support.fates import check_or_refuse, fuzzed
from tests.support.wild_files import EVENT, SESSION, avro_type, parquet, values, without_nulls
from tests.support.wild_sources import exports


@fuzzed
@given(st.data(), exports)
def test_parquet_of_odd_values_and_types(data, settings):
    file, records = data.draw(parquet(SESSION if settings.kind == "ga360" else EVENT))
    check_or_refuse(file, records, settings)


TABLE = pa.schema(
    [("visitorId", pa.string()), ("contentId", pa.string()), ("amount", pa.float64()), ("at", pa.int64())]
)


@fuzzed
@given(parquet(TABLE), st.sampled_from(["duration_column", "rating_column"]))
def test_tables_of_odd_values_and_types(file, what):
    data, records = file
    check_or_refuse(data, records, SourceSettings(kind="table", input="x", time_column="at", **{what: "amount"}))


@fuzzed
@given(st.data(), exports)
def test_avro_of_odd_values_and_types(data, settings):
    kinds, schema = (
        st.sampled_from([pa.string(), pa.float64(), pa.bool_()]),
        SESSION if settings.kind == "ga360" else EVENT,
    )
    fields = [item.with_type(data.draw(kinds)) if data.draw(st.integers(0, 30)) == 0 else item for item in schema]
    kind = pa.struct(fields)
    rows = data.draw(st.lists(values(kind), min_size=1, max_size=4))
    file = io.BytesIO()
    fastavro.writer(file, avro_type(kind, "session"), [without_nulls(kind, row) for row in rows], codec="deflate")
    check_or_refuse(file.getvalue(), len(rows), settings)


@fuzzed
@given(st.lists(st.tuples(wild.texts, wild.texts, wild.scalars), max_size=5), st.booleans())
def test_csv_of_odd_text(rows, rated):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(["visitorId", "contentId", "amount"])
    writer.writerows(rows)
    column = "rating_column" if rated else "duration_column"
    source = SourceSettings(kind="table", input="x", **{column: "amount"})
    check_or_refuse(file.getvalue().encode("utf-8", "surrogatepass"), len(rows), source)
