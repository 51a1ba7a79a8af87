"""The kind of a file: an export of GA4 or of GA360, or a table."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable
from typing import BinaryIO, Literal, NamedTuple

import fastavro
import pyarrow.parquet

from artifacts.names import AVRO, PARQUET, other_format
from configs.errors import UserError
from pipeline.readers import csv_records
from pipeline.readers.csv_records import Dialect, first_record
from pipeline.readers.json_lines import loads
from pipeline.readers.opening import UTF_16, whole_lines
from pipeline.readers.records import FormatError, without_values

Kind = Literal["ga360", "ga4", "table"]
NAMES: dict[Kind, str] = {"ga4": "GA4 export", "ga360": "GA360 export", "table": "table"}
_DELIMITERS = ",;\t|"  # as pipeline.readers.csv_rows tries them
_NUMBER = re.compile(r"\s*-?[0-9]+([.][0-9]+)?\s*")
_LINES = 50  # of JSON, whose keys are the columns
_HEAD_BYTES = 1 << 20


class Layout(NamedTuple):
    """The kind of a file, null where it is blank.

    header: true if the first line of CSV names the columns.
    """

    kind: Kind | None
    columns: tuple[str, ...]
    header: bool = True


def layout_of(file: BinaryIO, head: bytes, path: str) -> Layout:
    """Return the layout of an open file, from its first bytes or its schema, and go back to its start.

    Raise UserError if the file is neither an export nor a table, or is damaged.
    """
    if not head.startswith((AVRO, PARQUET)) and (other := other_format(head)):
        raise UserError(f"{path} is not an export or a table but {other}")
    try:
        if head.startswith(PARQUET):
            names = pyarrow.parquet.ParquetFile(file).schema_arrow.names
            return Layout(kind_of(names), tuple(names))
        if head.startswith(AVRO):
            written = fastavro.reader(file).writer_schema
            fields = [field["name"] for field in written.get("fields", ())] if isinstance(written, dict) else []
            return _of_export(fields, path, "an Avro file")
        return _of_text(file, head, path)
    except UserError:
        raise
    except FormatError as error:
        raise UserError(f"{path} is not an export or a table but {error}") from None
    except Exception as error:  # the libraries raise exceptions of any type where bytes are damaged
        raise UserError(f"{path} cannot be read: {without_values(error)}; export the file again") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            file.seek(0)


def kind_of(names: Iterable[str]) -> Kind:
    """Return the kind of records with these fields."""
    known = set(names)
    if "event_name" in known and known & {"event_params", "event_timestamp", "user_pseudo_id"}:
        return "ga4"
    return "ga360" if "hits" in known else "table"


def _of_text(file: BinaryIO, head: bytes, path: str) -> Layout:
    if head.startswith(UTF_16):
        block = file.read(_HEAD_BYTES).decode("utf-16", "ignore").encode()
    else:
        block = next(whole_lines(file, _HEAD_BYTES, _HEAD_BYTES << 8), b"")
    if not block.strip():
        return Layout(None, ())
    if block.lstrip()[:1] in (b"{", b"["):
        if head.startswith(UTF_16):
            raise FormatError("UTF-16; write it in UTF-8")
        names = tuple(dict.fromkeys(name for line in block.split(b"\n")[:_LINES] for name in _keys(line)))
        if not names and block.lstrip().startswith(b"["):
            raise FormatError("an array; write one object per line")
        return _of_export(names, path, "newline-delimited JSON")
    if b"\0" in block[:_HEAD_BYTES]:
        raise UserError(f"{path} is not an export or a table; name files of NDJSON, Avro, Parquet or CSV")
    return _of_csv(block, path)


def _of_csv(block: bytes, path: str) -> Layout:
    """Return the layout by the delimiter that makes most columns; a line with a number is not a header."""
    headers = [_header(block, Dialect(delimiter)) for delimiter in _DELIMITERS]
    header = max(headers, key=len)
    if len(header) < 2:
        raise UserError(
            f"{path} is not an export, and as CSV it has one column: a table has commas, semicolons, tabs or | between"
        )
    if any(_NUMBER.fullmatch(name) for name in header):
        return Layout("table", tuple(f"column{number}" for number in range(1, len(header) + 1)), header=False)
    return Layout("table", tuple(dict.fromkeys(name for name in header if name.strip())))


def _header(block: bytes, dialect: Dialect) -> list[str]:
    try:
        names = csv_records.fields(first_record(block, dialect)[0], dialect)
    except csv.Error:
        return []
    return [name.decode("utf-8", "replace") for name in names]


def _keys(line: bytes) -> Iterable[str]:
    try:
        record = loads(line)
    except (ValueError, RecursionError):
        return ()
    return record if isinstance(record, dict) else ()


def _of_export(names: Iterable[str], path: str, form: str) -> Layout:
    kind = kind_of(names)
    if kind == "table":
        raise UserError(
            f"{path} is {form}, but not an export: it has neither event_name and event_params (GA4) nor hits (GA360); "
            "a table must be CSV or Parquet"
        )
    return Layout(kind, tuple(names))
