"""Parquet -> Arrow: only the columns that a source asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from pipeline.readers.records import MissingColumnError, type_name

_LIST_WRAPPERS = {"list", "element", "item", "array", "bag", "array_element"}


def batches(file: BinaryIO, schema: pa.Schema, rows: int, values: int = 1 << 21) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file, at most `rows` at a time, with the nested fields that a schema names.

    A batch has fewer if those would have more than `values` in all columns: a session can have hundreds of products.
    Text comes dictionary-encoded, as it is in the file: to decode it takes half of the time of reading. Raise
    MissingColumnError if the file has none of the fields, ValueError if it has records in another form.
    """
    metadata = pyarrow.parquet.read_metadata(file)
    wanted = set(_leaves(pa.struct(list(schema)), ()))
    paths = [metadata.schema.column(index).path for index in range(len(metadata.schema))]
    kept = [path for path in paths if tuple(p for p in path.split(".") if p not in _LIST_WRAPPERS) in wanted]
    if not kept:
        names = [*dict.fromkeys(path.partition(".")[0] for path in paths)]
        raise MissingColumnError(schema.names[0], names, "name the kind of these files in source.kind or source.preset")
    parquet = pyarrow.parquet.ParquetFile(file, metadata=metadata, read_dictionary=kept)
    refuse_other_forms(parquet.schema_arrow, schema)
    places = [place for place in map(paths.index, kept) if _has_values(metadata, place)]
    places = [place for place in places if not _is_lone_mark(place, places, metadata.schema)]
    kept = [paths[place] for place in places] or kept
    # A batch with the dictionaries of two row groups would have nested text of two chunks, which Arrow does not build.
    for group in range(metadata.num_row_groups):
        size = min(rows, _records_with(values, metadata.row_group(group), places))
        for batch in parquet.iter_batches(batch_size=size, row_groups=[group], columns=kept):
            yield without_views(batch)


def _records_with(values: int, group: pyarrow.parquet.RowGroupMetaData, columns: list[int]) -> int:
    """Return how many records of a row group have so many values in some columns."""
    whole = sum(group.column(column).num_values for column in columns)
    return max(1, values * group.num_rows // max(whole, 1))


def _has_values(metadata: pyarrow.parquet.FileMetaData, column: int) -> bool:
    """Return whether a column may have values; many of an export's do not, and take as long to read as others."""
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(column)
        known = chunk.statistics
        if known is None or known.has_min_max or not known.has_null_count or known.null_count < chunk.num_values:
            return True
    return False


def _is_lone_mark(place: int, places: list[int], schema: pyarrow.parquet.ParquetSchema) -> bool:
    """Return whether a column marks records of which no other column is read, such as isImpression of products."""
    column = schema.column(place)
    record = column.path.rpartition(".")[0]
    if column.physical_type != "BOOLEAN" or not record:
        return False
    return not any(schema.column(other).path.startswith(f"{record}.") for other in places if other != place)


def refuse_other_forms(written: pa.Schema, wanted: pa.Schema) -> None:
    """Raise ValueError if a column is there twice, or is records, or has fields of them, in another form.

    Otherwise these would read as columns without records.
    """
    for item in wanted:
        kinds = [other.type for other in written if other.name == item.name]
        if len(kinds) > 1:
            raise ValueError(f"it has the column {item.name} twice")
        for kind in kinds:
            _refuse_other_form(item.name, kind, item.type)


def _refuse_other_form(name: str, written: pa.DataType, wanted: pa.DataType) -> None:
    """Raise ValueError if a type is a list, a record or a plain value where another of these is due."""
    if pa.types.is_null(written):
        return
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(written) or pa.types.is_large_list(written)
        if not (is_list and pa.types.is_struct(written.value_type)):
            raise ValueError(f"{name} is {_form(written)}, and not a list of records as Google exports it")
        _refuse_other_form(name, written.value_type, wanted.value_type)
    elif pa.types.is_struct(wanted):
        if not pa.types.is_struct(written):
            raise ValueError(f"{name} is {_form(written)}, and not a record as Google exports it")
        for item in wanted:
            if written.get_field_index(item.name) >= 0:
                _refuse_other_form(f"{name}.{item.name}", written.field(item.name).type, item.type)
    elif pa.types.is_nested(written):
        raise ValueError(f"{name} is {_form(written)}, and not a single value")


def _form(kind: pa.DataType) -> str:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return f"list of {type_name(kind.value_type)}" if is_list else type_name(kind)


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose text is not of a view type, which many of Arrow's functions do not take."""
    schema = pa.schema([item.with_type(_without_views(item.type)) for item in batch.schema])
    return batch if schema.equals(batch.schema.remove_metadata()) else batch.cast(schema)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return pa.string() if pa.types.is_string_view(kind) else pa.binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([item.with_type(_without_views(item.type)) for item in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_without_views(kind.value_type)))
    return kind


def _leaves(wanted: pa.DataType, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the leaves of a type."""
    if pa.types.is_list(wanted):
        yield from _leaves(wanted.value_type, prefix)
    elif pa.types.is_struct(wanted):
        for item in wanted:
            yield from _leaves(item.type, (*prefix, item.name))
    else:
        yield prefix
