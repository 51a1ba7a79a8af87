"""Parquet -> Arrow: only the columns that a source asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

_LIST_WRAPPERS = {"list", "element", "item", "array", "bag", "array_element"}


def batches(file: BinaryIO, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file, at most `rows` at a time, with the nested fields that a schema names.

    Raises:
        ValueError: the file has none of the fields.
    """
    parquet = pyarrow.parquet.ParquetFile(file)
    wanted = set(_leaves(pa.struct(list(schema)), ()))
    paths = [parquet.schema.column(index).path for index in range(len(parquet.schema))]
    kept = [path for path in paths if tuple(p for p in path.split(".") if p not in _LIST_WRAPPERS) in wanted]
    if not kept:
        raise ValueError(f"the file has none of the columns {', '.join(schema.names)}; check source.input, source.kind")
    yield from parquet.iter_batches(batch_size=rows, columns=kept)


def _leaves(wanted: pa.DataType, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the leaves of a type."""
    if pa.types.is_list(wanted):
        yield from _leaves(wanted.value_type, prefix)
    elif pa.types.is_struct(wanted):
        for item in wanted:
            yield from _leaves(item.type, (*prefix, item.name))
    else:
        yield prefix
