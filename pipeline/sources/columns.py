"""Checks of export columns: ids as bytes, numbers and times as NumPy arrays with a mask of the valid rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_YEAR_10000 = 253_402_300_800  # in seconds since 1970
_MOST = 1e18  # a greater amount is a mistake, and some would exceed float32


def field(structs: pa.Array, name: str) -> pa.Array:
    """Return a field of structs, null where the struct is; nulls where the structs have no such field."""
    if pa.types.is_null(structs.type) or structs.type.get_field_index(name) < 0:
        return pa.nulls(len(structs))
    return pc.struct_field(structs, name)


def ids(column: pa.Array) -> pa.BinaryArray:
    """Return ids as bytes: integers as their digits, floats without a needless fraction."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.binary())
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.binary())


def coded_ids(column: pa.Array) -> pa.DictionaryArray:
    """Return ids as pipeline.interactions.columns.ID."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), ids(column.dictionary))
    return ids(column).dictionary_encode()


def faults_of_ids(column: pa.BinaryArray) -> np.ndarray:
    """Return what keeps each id out of a vocabulary, object[n]: `empty`, `newline`, `not_utf8` or None.

    TFT silently drops such ids from a text vocabulary. A null is sound: its meaning depends on the source.
    """
    faults = np.full(len(column), None, object)
    faults[_mask(pc.equal(pc.binary_length(column), 0))] = "empty"
    faults[_mask(pc.match_substring_regex(column, r"[\r\n]"))] = "newline"
    try:
        column.cast(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        for place, value in enumerate(column.to_pylist()):
            if value is not None and not _is_utf8(value):
                faults[place] = "not_utf8"
    return faults


def times(column: pa.Array, per_second: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `integers` that are valid times, see `within_time`."""
    return within_time(*integers(column), per_second)


def within_time(values: np.ndarray, sound: np.ndarray, per_second: int) -> tuple[np.ndarray, np.ndarray]:
    """Accept times int64[n] from 1970 to 9999 only, so that sums stay below 2^63; others become 0 and not sound."""
    sound = sound & (values >= 0) & (values < _YEAR_10000 * per_second)
    return np.where(sound, values, 0), sound


def integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return integers, written as integers, whole floats or digits.

    Returns:
        int64[n], and bool[n]: whether there is an integer; where not, the number is 0.
    """
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        column = _digits(column).cast(pa.int64())
    elif pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 1e18))
        column = pc.if_else(whole, column, pa.scalar(None, column.type)).cast(pa.int64())
    elif not pa.types.is_signed_integer(column.type):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    return column.cast(pa.int64()).fill_null(0).to_numpy(), _mask(column.is_valid())


def _digits(column: pa.Array) -> pa.StringArray:
    """Return text, null where it is not an integer.

    Nineteen digits may exceed 2^63. No time or duration in an export needs them, though an id does.
    """
    text = column.cast(pa.string(), safe=False)
    longest = pc.max(pc.binary_length(text)).as_py() or 0
    if longest <= 18 and pc.all(pc.ascii_is_decimal(text)).as_py():  # ten times the expression's speed
        return text
    is_number = pc.match_substring_regex(text, r"^-?[0-9]{1,18}$")
    return pc.if_else(is_number, text, pa.scalar(None, pa.string()))


def floats(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers, written as numbers or text.

    Returns:
        float64[n], and bool[n]: whether there is a number below 10^18; where not, the number is 0.
    """
    if pa.types.is_null(column.type):
        return np.zeros(len(column)), np.zeros(len(column), bool)
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        is_number = pc.match_substring_regex(column, r"^ *[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)? *$")
        text = pc.if_else(is_number, column, pa.scalar(None, column.type)).cast(pa.string())
        column = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), "+").cast(pa.float64())
    numbers = column.cast(pa.float64(), safe=False)
    values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    sound = np.abs(values) < _MOST  # and no NaN
    return np.where(sound, values, 0.0), sound


def _mask(column: pa.Array) -> np.ndarray:
    return column.fill_null(False).to_numpy(zero_copy_only=False)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
