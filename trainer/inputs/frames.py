"""A frame of (user, item, value[, weight]) -> a matrix, the weights of its entries, and the ids of both sides.

A frame is whatever Arrow can read without a copy of its own rules: a pandas or polars DataFrame, an Arrow table or
batch, a relation of DuckDB. The columns count by their place, not by their names.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp


class Frame(NamedTuple):
    """A frame's content; an index of the matrix belongs to the id of that index."""

    matrix: sp.csr_matrix  # float32 [n, m], rows with ascending columns
    weights: sp.csr_matrix | None  # E, with the same entries
    user_ids: np.ndarray  # [n], text, bytes (both as objects) or whole numbers; most entries first, then by the id
    item_ids: np.ndarray  # [m]


def is_frame(data: Any) -> bool:
    """Return whether data has columns that Arrow can read."""
    return hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")


def read(frame: Any, name: str) -> Frame:
    """Return the content of a frame.

    Raise ValueError, with the column and the row, if the number of columns is not 3 or 4, a cell is empty, an id is
    neither text nor a whole number, a value is not finite, a weight is negative, or two rows have one user and item.
    """
    table = _table(frame)
    if table.num_columns not in (3, 4):
        raise ValueError(
            f"{name} is a {type(frame).__name__} with the columns {', '.join(map(str, table.column_names)) or 'none'}; "
            "pass user, item, value and, if there is one, weight, in this order"
        )
    users, user_ids = _encoded(table, 0, name)
    items, item_ids = _encoded(table, 1, name)
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    again = np.flatnonzero((np.diff(users) == 0) & (np.diff(items) == 0))
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        raise ValueError(f"rows {first} and {second} of {name} have one user and item; add such rows up, or keep one")
    indptr = np.append(0, np.cumsum(np.bincount(users, minlength=len(user_ids))))
    values = [_numbers(table, column, name)[order] for column in range(2, table.num_columns)]
    matrix, *weights = (sp.csr_matrix((own, items, indptr), (len(user_ids), len(item_ids))) for own in values)
    return Frame(matrix, weights[0] if weights else None, user_ids, item_ids)


def _table(frame: Any) -> pa.Table:
    table = pa.table(frame)
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([column for column in index if isinstance(column, str)])  # of pandas: not data


def _encoded(table: pa.Table, place: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of each row's id, int64 [rows], and the ids by index: most rows first, then ascending."""
    column = _complete(table, place, name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise ValueError(f"{name} has ids of type {kind} in column {table.column_names[place]}; pass text or integers")
    if not len(column):
        return np.zeros(0, np.int64), np.zeros(0, object)
    plain = column.cast(pa.large_string() if pa.types.is_string_view(kind) else kind)
    encoded = plain.combine_chunks().dictionary_encode()
    codes, ids = encoded.indices.to_numpy(), encoded.dictionary
    by_id = pc.sort_indices(ids).to_numpy()
    by_id = by_id[np.argsort(-np.bincount(codes, minlength=len(ids))[by_id], kind="stable")]
    places = np.empty(len(ids), np.int64)
    places[by_id] = np.arange(len(ids))
    return places[codes], ids.take(pa.array(by_id)).to_numpy(zero_copy_only=False)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_binary(kind)


def _numbers(table: pa.Table, place: int, name: str) -> np.ndarray:
    """Return a column as float32 [rows]; the fourth, of weights, may not be negative."""
    column, title = _complete(table, place, name), table.column_names[place]
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (is_number or pa.types.is_boolean(kind)):
        raise ValueError(f"{name} has values of type {kind} in column {title}; pass numbers")
    with np.errstate(over="ignore"):  # beyond float32's range is infinite, which is an error below
        numbers = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers) | ((place == 3) & (numbers < 0)))
    if len(wrong):
        rule = "a weight must be finite and not negative" if place == 3 else "a value must be finite"
        raise ValueError(f"{name} has {numbers[wrong[0]]} in column {title}, row {wrong[0]}; {rule}")
    return numbers


def _complete(table: pa.Table, place: int, name: str) -> pa.ChunkedArray:
    column = table.column(place)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        title = table.column_names[place]
        raise ValueError(f"{name} has {column.null_count} empty cells in column {title}, the first in row {row}")
    return column
