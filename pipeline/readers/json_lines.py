"""One line of JSON at a time, by json.loads: decides the fate of lines that the faster parsers refuse.

The faster parsers accept only lines of which this module would make the same record.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts.vocabulary import id_of_number
from pipeline.readers import json_arrow
from pipeline.readers.opening import BOM
from pipeline.readers.records import Parsed

_ESCAPE = len("\\u0000")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # as BigQuery writes them
_decode = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 4300 else digits).decode


def parse(lines: list[bytes], schema: pa.Schema) -> Parsed:
    """Return the records of some lines; blank ones, also those of a byte order mark alone, are not records.

    Strings and integers become binary, so that any bytes of an id reach the check of ids; others keep their type.
    """
    target = pa.struct(list(schema))
    records, positions, malformed = [], [], []
    for position, line in enumerate(lines):
        if not line.removeprefix(BOM).strip():
            continue
        try:
            record = conform(loads(line), target, "record")
            if record is None:
                raise ValueError("record is not an object")
        except (ValueError, RecursionError) as error:
            record = _by_arrow(line, schema)
            if record is None:
                malformed.append((position, " ".join(str(error).split())))
                continue
        records.append(record)
        positions.append(position)
    batch = pa.RecordBatch.from_struct_array(pa.array(records, type=as_binary(target)))
    return Parsed(batch, np.array(positions, np.int64), malformed)


def _by_arrow(line: bytes, schema: pa.Schema) -> Any:
    """Return the record of a line that only Arrow accepts, such as one nested 1,000 deep; None where it does not."""
    batch = json_arrow.parse(line, schema)
    return None if batch is None else conform(batch.to_pylist()[0], pa.struct(list(schema)), "record")


def is_cut(line: bytes) -> bool:
    """Return whether a line is the beginning of an object."""
    try:
        loads(line)
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        in_string = error.msg.startswith("Unterminated string") or ("escape" in error.msg and len(rest) < _ESCAPE)
        in_word = any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "Infinity", "-Infinity"))
        return line.lstrip().startswith(b"{") and (in_string or in_word)
    except RecursionError:
        return False
    return False


def loads(line: bytes) -> Any:
    """Decode a line, also behind a byte order mark: the first of a file that was put after another.

    Bytes that are not UTF-8 become surrogates, and reach the check of ids unchanged.

    Raise ValueError if the line is not JSON, RecursionError if it is nested too deeply.
    """
    return _decode(line.removeprefix(BOM).decode("utf-8", "surrogateescape"))


def conform(value: Any, target: pa.DataType, name: str) -> Any:
    """Return a value in the shape of a type, strings and integers as bytes; raise ValueError if it has another."""
    if value is None:
        return None
    if pa.types.is_struct(target):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not an object")
        return {item.name: _member(value.get(item.name), item) for item in target}
    if pa.types.is_list(target):
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        return [conform(item, target.value_type, name) for item in value]
    if isinstance(value, dict | list):
        raise ValueError(f"{name} is not a plain value")
    return _plain(value, target, name)


def _member(value: Any, item: pa.Field) -> Any:
    """Return the value of an object's field; of a price that is text NaN, and null where the text is empty."""
    if json_arrow.is_price(item) and isinstance(value, str) and not _NUMBER.fullmatch(value):
        return _NOT_FINITE.get(value, math.nan) if value else None
    return conform(value, item.type, item.name)


def _plain(value: Any, target: pa.DataType, name: str) -> Any:
    if pa.types.is_floating(target):
        return _float(value, name)
    if pa.types.is_boolean(target):
        return _boolean(value, name)
    if isinstance(value, bytes) or not pa.types.is_string(target):  # of Avro
        return value
    if isinstance(value, float):
        return id_of_number(value)
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return text.encode("utf-8", "surrogatepass")


def _float(value: Any, name: str) -> float:
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"{name} is not a number")
    elif isinstance(value, bool):
        raise ValueError(f"{name} is not a number")
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _boolean(value: Any, name: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):  # as other tools write it
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{name} is not true or false")
    return value


def as_binary(target: pa.DataType) -> pa.DataType:
    """Return a type with binary in place of text."""
    if pa.types.is_struct(target):
        return pa.struct([pa.field(item.name, as_binary(item.type)) for item in target])
    if pa.types.is_list(target):
        return pa.list_(as_binary(target.value_type))
    return pa.binary() if pa.types.is_string(target) else target
