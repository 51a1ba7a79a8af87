"""Attributes as a table has them -> the dense inputs of the features' graph.

The pipeline uses it for all items, and whoever brings in a single item uses it too, so both have the same features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.catalogue import as_text
from artifacts.features.fields import TEXT_LIMIT, Field
from artifacts.names import DAY_MS
from configs.errors import UserError
from configs.settings.features import OF_WORDS
from pipeline.sources import columns, times


class Raw(NamedTuple):
    """The inputs of the graph by field, text [n], float32 [n] or float32 [n, d], and the account."""

    columns: dict[str, np.ndarray | pa.Array]
    counts: Counter[str]  # by REASON.FIELD


def of_table(table: pa.Table, fields: Sequence[Field], as_of_ms: int | None, text_limit: int = TEXT_LIMIT) -> Raw:
    """Return the inputs of the graph for the rows of a table; a field that is not among its columns is missing.

    as_of_ms: the moment at which ages are measured, ms since 1970. Raise UserError if a column cannot be of its kind.
    """
    made, counts = {}, Counter[str]()
    for field in fields:
        column = pa.nulls(len(table))
        if field.name in table.column_names:
            column = _without_dictionary(table[field.name].combine_chunks())
        if field.kind in OF_WORDS:
            values, is_known = _texts(column, field, text_limit, counts)
        elif field.kind == "embedding":
            values, is_known = _embeddings(column, field, counts)
        elif field.kind == "time":
            values, is_known = _ages(column, as_of_ms)
            counts[f"not_a_time.{field.name}"] += len(column) - column.null_count - int(is_known.sum())
        else:
            values, is_known = _numbers(column, field)
            counts[f"not_a_number.{field.name}"] += len(column) - column.null_count - int(is_known.sum())
        made[field.name] = values
        counts[f"rows.{field.name}"] += int(is_known.sum())
        counts[f"missing.{field.name}"] += int((~is_known).sum())
    return Raw(made, counts)


def _texts(column: pa.Array, field: Field, limit: int, counts: Counter[str]) -> tuple[pa.Array, np.ndarray]:
    if _is_list(column.type):
        parts = as_text(column.flatten(), f"attribute {field.name}").fill_null("")
        offsets = np.append(0, np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)))
        column = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), parts), field.between)
    texts = as_text(column, f"attribute {field.name}").fill_null("")
    is_long = pc.greater(pc.utf8_length(texts), limit)
    counts[f"cut.{field.name}"] += pc.sum(is_long).as_py() or 0
    texts = pc.utf8_slice_codeunits(texts, 0, limit)
    is_known = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
    return texts, is_known.to_numpy(zero_copy_only=False)


def _without_dictionary(column: pa.Array) -> pa.Array:
    """Return values without dictionary, and true or false as text."""
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return column.cast(pa.string()) if pa.types.is_boolean(column.type) else column


def _numbers(column: pa.Array, field: Field) -> tuple[np.ndarray, np.ndarray]:
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise UserError(f"attribute {field.name} is {column.type}, which is not a {field.kind}; choose another kind")
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    numbers, is_number = columns.floats(column)
    if field.kind == "price":
        is_number = is_number & (numbers >= 0)
    return np.where(is_number, numbers, np.nan).astype(np.float32), is_number


def _ages(column: pa.Array, as_of_ms: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return ages in days, float32 [n], NaN without a time; those of the future are 0."""
    milliseconds, is_time = _times(column)
    days = np.maximum((as_of_ms or 0) - milliseconds, 0) / DAY_MS
    return np.where(is_time, days, np.nan).astype(np.float32), is_time


def times_of(table: pa.Table, field: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of a field, ms since 1970 int64 [n], and bool [n]: true for a time."""
    if field.name not in table.column_names:
        return np.zeros(len(table), np.int64), np.zeros(len(table), bool)
    return _times(_without_dictionary(table[field.name].combine_chunks()))


def _times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return times in ms; a number is in the unit in which it is a time from 1990 to 2099, so it needs no setting."""
    column = column.cast(pa.binary()) if pa.types.is_string(column.type) else column
    milliseconds, is_time = times.milliseconds(column, None, any_year=True)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        for unit in ("s", "us", "ns"):
            values, is_of_unit = times.milliseconds(column, unit)
            milliseconds, is_time = np.where(is_time, milliseconds, values), is_time | is_of_unit
    return milliseconds, is_time


def _embeddings(column: pa.Array, field: Field, counts: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [n, d], zeros where an embedding is missing or not finite."""
    dimension = field.dimension
    values = np.zeros((len(column), dimension), np.float32)
    if pa.types.is_null(column.type):
        return values, np.zeros(len(column), bool)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    check_lengths(np.unique(np.append(lengths, dimension)), f"attribute {field.name}")
    is_full = lengths == dimension
    flat = column.flatten().cast(pa.float32()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    values[is_full] = flat.reshape(-1, dimension)
    is_finite = np.isfinite(values).all(1)
    counts[f"not_finite.{field.name}"] += int((~is_finite).sum())
    values[~is_finite] = 0
    return values, np.any(values != 0, axis=1)


def check_lengths(lengths: np.ndarray, where: str) -> int:
    """Return the one length of embeddings that is not 0; raise UserError, which begins with `where`, if several are."""
    lengths = lengths[lengths > 0]
    if len(lengths) > 1:
        shown = ", ".join(map(str, lengths[:3].tolist()))
        raise UserError(f"{where} has embeddings of {shown} numbers; make all with one model, of one length")
    return int(lengths[0]) if len(lengths) else 0


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
