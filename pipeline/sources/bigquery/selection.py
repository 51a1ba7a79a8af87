"""The columns and rows that a source needs of a table: for the Storage Read API, and the same as a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from configs.settings import SourceSettings
from pipeline.sources.bigquery.names import TableName

_COLUMNS = {
    "ga360": ("date", "fullVisitorId", "visitId", "visitStartTime", "hits"),
    "ga4": ("event_date", "event_timestamp", "event_name", "user_pseudo_id"),
}
_ITEMS = "items."


def prune(wanted: Iterable[pa.Field], available: Iterable[SchemaField]) -> list[SchemaField]:
    """Return the fields of a table that a schema names, at every depth; a field without parts is taken whole."""
    kinds = {field.name: field.type for field in wanted}
    pruned = []
    for field in available:
        kind = kinds.get(field.name)
        if kind is not None and pa.types.is_list(kind):
            kind = kind.value_type
        if kind is not None and pa.types.is_struct(kind) and field.fields:
            if parts := prune(kind, field.fields):
                pruned.append(SchemaField(field.name, field.field_type, field.mode, fields=parts))
        elif kind is not None:
            pruned.append(field)
    return pruned


def names(fields: Iterable[SchemaField], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of each leaf, as `selected_fields` of a read session takes it."""
    for field in fields:
        path = f"{prefix}{field.name}"
        yield from names(field.fields, f"{path}.") if field.fields else [path]


def needed(source: SourceSettings) -> tuple[str, ...]:
    """Return the columns without which a table is not the export that the settings describe."""
    if source.kind == "table":
        return ()
    if source.kind == "ga360":
        return _COLUMNS["ga360"]
    by_column = {signal.item.startswith(_ITEMS): signal for signal in source.all_signals}
    of_signals = [column for is_item, column in ((True, "items"), (False, "event_params")) if is_item in by_column]
    return (*_COLUMNS["ga4"], *of_signals)


def row_restriction(source: SourceSettings) -> str:
    """Return a condition that only the rows of the signals' events meet; empty where any row may count.

    Visitors' attributes are in all events.
    """
    if source.visitor_attributes:
        return ""
    return f"event_name IN ({', '.join(map(_literal, source.events))})" if source.events else ""


def select(table: TableName, fields: Iterable[SchemaField], restriction: str) -> str:
    """Return the query for the same columns and rows, for what the Storage Read API cannot read, such as a view."""
    columns = ",\n  ".join(_expression(f"source.`{field.name}`", field, 0) for field in fields)
    where = f"\nWHERE {restriction}" if restriction else ""
    return f"SELECT\n  {columns}\nFROM `{table}` AS source{where}"


def _expression(path: str, field: SchemaField, depth: int) -> str:
    if not field.fields:
        return f"{path} AS `{field.name}`"
    if field.mode != "REPEATED":
        parts = ", ".join(_expression(f"{path}.`{part.name}`", part, depth) for part in field.fields)
        return f"STRUCT({parts}) AS `{field.name}`"
    each, place = f"each{depth}", f"place{depth}"
    parts = ", ".join(_expression(f"{each}.`{part.name}`", part, depth + 1) for part in field.fields)
    rows = f"UNNEST({path}) AS {each} WITH OFFSET AS {place} ORDER BY {place}"
    return f"ARRAY(SELECT AS STRUCT {parts} FROM {rows}) AS `{field.name}`"  # noqa: S608 - a table's own names


def _literal(text: str) -> str:
    """Return text as a string of GoogleSQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\r", "\\r").replace("\n", "\\n")
    return f"'{escaped}'"
