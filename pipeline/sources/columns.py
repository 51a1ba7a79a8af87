"""Checks of export columns: ids as bytes, numbers as NumPy arrays with a mask of the valid rows."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.vocabulary import INEXACT, ids_of_numbers

NOTHING = -1  # in place of the place of a value that is missing
MAX_AMOUNT = 1e18  # a greater amount is a mistake, and some would exceed float32
_MAX_INTEGER = 9.2e18  # below 2^63
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
_TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())


def field(structs: pa.Array, name: str) -> pa.Array:
    """Return a field of structs, null where the struct is; nulls where the structs have no such field."""
    if pa.types.is_null(structs.type) or structs.type.get_field_index(name) < 0:
        return pa.nulls(len(structs))
    return pc.struct_field(structs, name)


def taken(values: pa.Array, places: np.ndarray) -> pa.Array:
    """Return values [n] at some places, int64[n]; null at NOTHING."""
    if len(places) == len(values) and (places == np.arange(len(places))).all():
        return values
    is_missing = places == NOTHING
    return values.take(pa.array(places, mask=is_missing if is_missing.any() else None))


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one array of a column, without dictionary; text and bytes of any layout as binary."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType):
        column = _uuids(column.storage) if "uuid" in str(column.type) else column.storage
    if is_text(column.type):
        return column.cast(pa.binary())
    return column


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column has text or bytes, of any layout."""
    return kind in _TEXTS or pa.types.is_fixed_size_binary(kind)


def _uuids(column: pa.Array) -> pa.Array:
    return pa.array(
        [None if value is None else str(uuid.UUID(bytes=value)) for value in column.to_pylist()], pa.string()
    )


def ids(column: pa.Array) -> pa.BinaryArray:
    """Return ids as bytes: whole numbers as their digits, other numbers without a needless fraction; NaN is null.

    Raise pa.ArrowException if the column cannot be one of ids, such as one of times.
    """
    column = plain(column)
    kind = column.type
    if pa.types.is_binary(kind):
        return column
    if any(is_kind(kind) for is_kind in _NUMBERS):
        return ids_of_numbers(column)
    if not pa.types.is_null(kind):
        raise pa.ArrowInvalid(f"ids cannot be of type {kind}")
    return column.cast(pa.binary())


def coded_ids(column: pa.Array) -> pa.DictionaryArray:
    """Return ids as pipeline.interactions.columns.ID; of a long dictionary, such as a file's, only what is used."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type) and len(column.dictionary) <= len(column):
        # The indices are checked already; to do it again takes a tenth of the time of these columns.
        return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), ids(column.dictionary), safe=False)
    return ids(column).dictionary_encode()


def faults_of_ids(column: pa.BinaryArray) -> np.ndarray:
    """Return what keeps each id out of a vocabulary, object[n]: `empty`, `newline`, `not_utf8`, `inexact` or None.

    TFT silently drops the first three from a text vocabulary; an inexact id would join what the site keeps apart. A
    null is sound: its meaning depends on the source.
    """
    faults = np.full(len(column), None, object)
    faults[_mask(pc.equal(pc.binary_length(column), 0))] = "empty"
    if _may_have_line_end(column):
        faults[_mask(pc.match_substring_regex(column, r"[\r\n]"))] = "newline"
    try:
        column.cast(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        for place, value in enumerate(column.to_pylist()):
            if value is not None and not _is_utf8(value):
                faults[place] = "inexact" if value == INEXACT else "not_utf8"
    return faults


def _may_have_line_end(column: pa.BinaryArray) -> bool:
    """Return whether a line end is in the column's memory, also outside of a slice: hundreds of values per µs."""
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    return bool(((data == ord("\n")) | (data == ord("\r"))).any())


def integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return integers, written as integers, whole numbers of another type, or digits.

    They are int64[n], and bool[n]: true for an integer; the number of the other rows is 0.
    """
    column = plain(column)
    kind = column.type
    nothing = np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    if pa.types.is_binary(kind):
        column = _digits(column).cast(pa.int64())
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64()) if pa.types.is_floating(kind) else column
        is_whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _MAX_INTEGER))
        column = pc.if_else(is_whole, column, pa.scalar(None, column.type)).cast(pa.int64())
    elif pa.types.is_uint64(kind):
        fits = pc.less(column, pa.scalar(1 << 63, pa.uint64()))
        column = pc.if_else(fits, column, pa.scalar(None, pa.uint64())).cast(pa.int64())
    elif not pa.types.is_integer(kind):
        return nothing
    numbers = column.cast(pa.int64())
    if not numbers.null_count:
        return numbers.to_numpy(), np.ones(len(numbers), bool)
    return numbers.fill_null(0).to_numpy(), _mask(numbers.is_valid())


def _digits(column: pa.BinaryArray) -> pa.StringArray:
    """Return text, null where it is not an integer below 2^63; a fraction of zeros is one."""
    text = column.cast(pa.string(), safe=False)
    longest = pc.max(pc.binary_length(column)).as_py() or 0
    if longest <= 18 and pc.all(pc.ascii_is_decimal(text)).as_py():  # ten times the speed of the expressions
        return text
    is_number = pc.match_substring_regex(text, r"^-?[0-9]{1,19}([.]0*)?$")
    text = pc.if_else(is_number, text, pa.scalar(None, pa.string()))
    text = pc.replace_substring_regex(text, r"[.]0*$", "")
    # Of nineteen digits, text compares as numbers do.
    is_long = pc.greater_equal(pc.utf8_length(pc.utf8_ltrim(text, "-")), 19)
    is_small = pc.less_equal(pc.utf8_ltrim(text, "-"), str((1 << 63) - 1))
    return pc.if_else(pc.or_(pc.invert(is_long), is_small), text, pa.scalar(None, pa.string()))


def floats(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers, written as numbers or text; true is 1.

    They are float64[n], and bool[n]: true for a number below 10^18; the number of the other rows is 0.
    """
    column = plain(column)
    if pa.types.is_null(column.type):
        return np.zeros(len(column)), np.zeros(len(column), bool)
    if pa.types.is_binary(column.type):
        is_number = pc.match_substring_regex(column, r"^ *[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)? *$")
        text = pc.if_else(is_number, column, pa.scalar(None, column.type)).cast(pa.string())
        column = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), "+").cast(pa.float64())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    numbers = column.cast(pa.float64(), safe=False)
    values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    sound = np.abs(values) < MAX_AMOUNT  # and not NaN
    return np.where(sound, values, 0.0), sound


def _mask(column: pa.Array) -> np.ndarray:
    return column.fill_null(False).to_numpy(zero_copy_only=False)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
