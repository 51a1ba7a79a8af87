"""The kind of a file: an export of GA4 or of GA360, or a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import BinaryIO, Literal, NamedTuple

import fastavro
import pyarrow.parquet

from configs.errors import UserError
from pipeline.readers.csv_records import Dialect, fields, first_record
from pipeline.readers.json_lines import loads
from pipeline.readers.opening import AVRO, OTHER_FORMATS, PARQUET, whole_lines
from pipeline.readers.records import FormatError, without_values
from pipeline.sources import columns

Kind = Literal["ga360", "ga4", "table"]
NAMES: dict[Kind, str] = {"ga4": "GA4 export", "ga360": "GA360 export", "table": "table"}
_LINES = 50  # of JSON, whose keys are the columns
_HEAD_BYTES = 1 << 20


class Layout(NamedTuple):
    """The kind of a file, null where it is blank; its columns, and those that a Parquet file has as text."""

    kind: Kind | None
    columns: tuple[str, ...]
    texts: frozenset[str] = frozenset()


def layout_of(file: BinaryIO, head: bytes, path: str) -> Layout:
    """Return the layout of an open file, from its first bytes or its schema, and go back to its start.

    Raises:
        UserError: the file is neither an export nor a table, or is damaged.
    """
    for start, name in OTHER_FORMATS.items():
        if head.startswith(start) and start not in (AVRO, PARQUET):
            raise UserError(f"{path} is not an export or a table but {name}")
    try:
        if head.startswith(PARQUET):
            schema = pyarrow.parquet.ParquetFile(file).schema_arrow
            texts = frozenset(field.name for field in schema if columns.is_text(field.type))
            return Layout(kind_of(schema.names), tuple(schema.names), texts)
        if head.startswith(AVRO):
            written = fastavro.reader(file).writer_schema
            fields = [field["name"] for field in written.get("fields", ())] if isinstance(written, dict) else []
            return _of_export(fields, path, "an Avro file")
        return _of_text(file, path)
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


def _of_text(file: BinaryIO, path: str) -> Layout:
    block = next(whole_lines(file, _HEAD_BYTES, _HEAD_BYTES << 8), b"")
    if not block.strip():
        return Layout(None, ())
    if block.lstrip()[:1] in (b"{", b"["):
        names = tuple(dict.fromkeys(name for line in block.split(b"\n")[:_LINES] for name in _keys(line)))
        if not names and block.lstrip().startswith(b"["):
            raise FormatError("an array; write one object per line")
        return _of_export(names, path, "newline-delimited JSON")
    if b"\0" in block[:_HEAD_BYTES]:
        raise UserError(f"{path} is not an export or a table; name files of NDJSON, Avro, Parquet or CSV")
    first, _ = first_record(block, Dialect())
    header = [name.decode("utf-8", "replace") for name in fields(first, Dialect())]
    names = tuple(dict.fromkeys(name for name in header if name.strip()))
    if len(header) < 2:
        raise UserError(f"{path} is not an export, and as CSV it has one column: a table has commas between columns")
    if any(name.strip().isdecimal() for name in names):
        raise UserError(f"{path} has no header: its first line must have the names of the columns")
    return Layout("table", names)


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
