"""Ids as bytes: those of numbers, and the vocabularies among the transform_fn's assets.

Line n of a vocabulary is the id of index n, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.storage import open_to_read
from configs.errors import UserError

INEXACT = b"\xff a float that may have lost digits"  # in place of an id; no id has these bytes, which are not UTF-8
_BLOCK_BYTES = 1 << 20  # split into lines at once, which take several times as much
# Whole numbers up to this are exact in a float.
_EXACT = {pa.float16(): 1 << 11, pa.float32(): 1 << 24, pa.float64(): 1 << 53}
_MAX_WHOLE = 1e18
_ROUND = 1000  # below 10^18, a multiple of this has at most 15 significant digits, which a float64 keeps


class Vocabulary:
    """The ids of users or items in the order of their indices.

    >>> vocabulary = Vocabulary([b"x", b"y"])
    >>> vocabulary[1], vocabulary.index(b"y"), len(vocabulary)
    (b'y', 1, 2)
    """

    def __init__(self, ids: Sequence[bytes]):
        self.ids = list(ids)

    @classmethod
    def read(cls, path: str, size: int | None = None) -> Vocabulary:
        """Read a vocabulary; raise UserError if the file does not exist, or has not `size` ids."""
        vocabulary = cls(list(iterate_ids(path)))
        if size is not None and len(vocabulary) != size:
            raise UserError(f"{path} has {len(vocabulary)} ids where the dataset has {size}; make the dataset again")
        return vocabulary

    @cached_property
    def _indices(self) -> dict[bytes, int]:
        return {name: index for index, name in enumerate(self.ids)}

    def index(self, name: bytes) -> int | None:
        """Return the index of an id, None if it is not in the vocabulary."""
        return self._indices.get(name)

    def indices_of(self, names: Sequence[bytes]) -> np.ndarray:
        """Return the indices of ids, int64 [n]; -1 for an id that is not in the vocabulary."""
        return np.fromiter((self._indices.get(name, -1) for name in names), np.int64, len(names))

    def texts(self) -> list[str]:
        """Return the ids as text; bytes that are not UTF-8 are replaced."""
        return [name.decode("utf-8", "replace") for name in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> bytes:
        return self.ids[index]


def iterate_ids(path: str, first: int = 0, step: int = 1, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the ids of the indices first, first + step, ..., without keeping them all in memory.

    Only a newline ends an id: blanks at its end belong to it. Raise UserError if the file does not exist.
    """
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    with file:
        rest, skip = b"", first
        while block := file.read(block_bytes):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield from lines[skip::step]
            skip = (skip - len(lines)) % step if len(lines) > skip else skip - len(lines)
        if rest and skip == 0:
            yield rest


def id_of_number(value: float) -> bytes | None:
    """Return a float as an id, as `ids_of_numbers` does."""
    return ids_of_numbers(pa.array([value], pa.float64()))[0].as_py()


def ids_of_numbers(column: pa.Array) -> pa.BinaryArray:
    """Return numbers, true or false as ids: one text for a number, whatever type it has.

    Whole numbers are written as their digits, others in the fewest digits that mean the same number, without exponent.

    Args:
        column: integers, floats, decimals or booleans.

    Returns:
        null for null and NaN; INEXACT for a float whose digits are not certain.
    """
    if pa.types.is_floating(column.type):
        return _ids_of_floats(column)
    if pa.types.is_decimal(column.type):
        return _ids_of_decimals(column)
    return column.cast(pa.string()).cast(pa.binary())


def _ids_of_decimals(column: pa.Array) -> pa.BinaryArray:
    text = column.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():  # Arrow writes small numbers, and 0, with an exponent
        text = pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())
    has_point = pc.match_substring(text, ".")
    return pc.if_else(has_point, pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), "."), text).cast(pa.binary())


def _ids_of_floats(column: pa.FloatingPointArray) -> pa.BinaryArray:
    """Return floats as ids. A whole number is written as an integer where its digits are certain."""
    exact = _EXACT[column.type]
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    size = np.abs(values)
    is_whole = (np.floor(values) == values) & (size < _MAX_WHOLE)
    whole = np.where(is_whole, values, 0).astype(np.int64)
    is_round = (whole % _ROUND == 0) & pa.types.is_float64(column.type)
    is_certain = is_whole & ((size <= exact) | is_round)
    digits = pa.array(whole).cast(pa.string()).cast(pa.binary())
    is_fraction = ~is_whole & (size < exact)
    others = pc.if_else(pa.array(is_fraction), _fractions(column, is_fraction), pa.scalar(INEXACT))
    text = pc.if_else(pa.array(is_certain), digits, others)
    return pc.if_else(pa.array(np.isnan(values)), pa.scalar(None, pa.binary()), text)


def _fractions(column: pa.FloatingPointArray, is_fraction: np.ndarray) -> pa.BinaryArray:
    """Return floats as text.

    Arrow writes small and great ones with an exponent, as ids of no other type are, and those of 16 bits as doubles.
    """
    text = column.cast(pa.string())
    is_odd = pc.match_substring(text, "e").fill_null(False).to_numpy(zero_copy_only=False)
    is_odd = is_fraction & (is_odd | pa.types.is_float16(column.type))
    if is_odd.any():
        values = column.to_numpy(zero_copy_only=False)[is_odd]
        plain = [np.format_float_positional(value, trim="-") for value in values]
        text = pc.replace_with_mask(text, pa.array(is_odd), pa.array(plain, pa.string()))
    return text.cast(pa.binary())
