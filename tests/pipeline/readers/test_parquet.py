"""Batches of Parquet: how many records, and of which columns."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.readers import parquet
from pipeline.readers.files import ExportReader

PRODUCT = pa.struct([("sku", pa.string()), ("isImpression", pa.bool_())])
SCHEMA = pa.schema([("visitor", pa.string()), ("products", pa.list_(PRODUCT))])


def written(products: list[list[dict[str, object]]]) -> io.BytesIO:
    rows = [{"visitor": f"v{number}", "products": own} for number, own in enumerate(products)]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file := io.BytesIO())
    return file


def test_records_of_many_values_are_fewer_in_a_batch():
    some = [[{"sku": f"{row}-{number}", "isImpression": False} for number in range(9)] for row in range(40)]
    batches = list(parquet.batches(written(some), SCHEMA, rows=30, values=100))
    assert [batch.num_rows for batch in batches] == [5] * 8, "19 values in each"
    assert [row["products"] for batch in batches for row in batch.to_pylist()] == some
    one = [own[:1] for own in some]
    assert [batch.num_rows for batch in parquet.batches(written(one), SCHEMA, rows=30)] == [30, 10]
    assert [batch.num_rows for batch in parquet.batches(written(some), SCHEMA, rows=30, values=1)] == [1] * 40


def test_a_mark_of_records_is_read_with_them_alone():
    marked = [[{"sku": "x", "isImpression": True}], [{"sku": None, "isImpression": False}]]
    (batch,) = parquet.batches(written(marked), SCHEMA, rows=9)
    assert batch.column("products").to_pylist() == marked
    (batch,) = parquet.batches(written([[{"sku": None, "isImpression": True}]] * 2), SCHEMA, rows=9)
    assert batch.schema.names == ["visitor"], "no product has anything else"


def test_an_export_of_another_kind_is_one_line(tmp_path):
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"event_name": ["page_view"]}), path)
    with pytest.raises(UserError, match="has no column visitor among its 1 columns: name the kind of these files"):
        list(ExportReader(SCHEMA).read(str(path)))
