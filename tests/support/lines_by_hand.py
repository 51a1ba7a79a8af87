"""A line of an export by json.loads, in the form in which the readers return it: for the fuzz tests."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pyarrow as pa

from artifacts.vocabulary import INEXACT

MARK = b"\xef\xbb\xbf"  # a byte order mark, as it begins a file that was put after another


def is_blank(line: bytes) -> bool:
    """Return whether a line is not a record: white space, or a byte order mark alone."""
    return not line.removeprefix(MARK).strip()


def oracle(line: bytes, schema: pa.Schema) -> dict | None:
    """Return a line as json.loads reads it, in the schema's shape and Arrow's neutral form; None if it is not a record.

    json.loads reaches neither a depth of 1,000 nor a number of 4,300 digits in what nobody reads, and Arrow does: such
    lines are records.
    """
    text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    for deep in ("[" * 1200 + "]" * 1200, "1" * 5000):
        text = text.replace(f'"other": {deep}', '"other": 0')
    try:
        value = json.loads(text)
        assert isinstance(value, dict)
        return {item.name: shaped(value.get(item.name), item.type) for item in schema}
    except (ValueError, AssertionError, RecursionError):
        return None


def priced(name: str, value):
    """Return the value of a field; a price that is text and no number is NaN, and empty text is null."""
    if name not in ("price", "price_in_usd") or not isinstance(value, str):
        return value
    try:
        return str(float(value)) if value.strip() == value else math.nan
    except ValueError:
        return math.nan if value else None


def shaped(value, kind: pa.DataType):
    if value is None:
        return None
    if pa.types.is_struct(kind):
        assert isinstance(value, dict)
        return {item.name: shaped(priced(item.name, value.get(item.name)), item.type) for item in kind}
    if pa.types.is_list(kind):
        assert isinstance(value, list)
        return [shaped(part, kind.value_type) for part in value]
    assert not isinstance(value, (dict, list))
    if pa.types.is_boolean(kind):
        assert isinstance(value, bool) or str(value).lower() in ("true", "false")
        return value if isinstance(value, bool) else value.lower() == "true"
    if pa.types.is_floating(kind):
        assert not isinstance(value, bool)
        return float(value)  # of "NaN", "Infinity" and "1.5" too; of other text, a ValueError
    if isinstance(value, float):
        return written(value)
    return value if isinstance(value, str) else json.dumps(value)


def written(value: float) -> str | None:
    """Return a float as the text of an id: in no format has it an exponent, or digits that may be others."""
    if math.isnan(value):
        return None
    if value.is_integer() and (abs(value) <= 2**53 or (abs(value) < 1e18 and value % 1000 == 0)):
        return str(int(value))
    return neutral(INEXACT) if abs(value) >= 2**53 else format(Decimal(repr(value)), "f")


def neutral(value):
    """Return a value as any of the parsers returns it: text and integers as text, NaN as a word that equals itself."""
    if isinstance(value, dict):
        return {name: neutral(part) for name, part in value.items()}
    if isinstance(value, list):
        return [neutral(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):  # bytes that are not UTF-8 are surrogates of `surrogateescape`; JSON can write others
        try:
            raw = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = value.encode("utf-8", "surrogatepass")
        return raw.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        return repr(value + 0.0)
    return value if value is None else str(value)
