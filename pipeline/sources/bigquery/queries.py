"""The queries that return a source's rows: the rules of sql/, a user's own file, or a view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from configs.errors import UserError
from configs.settings import SourceSettings, SplitSettings
from pipeline.sources.bigquery.names import TableName

_NEVER_MS = 2**62

Parameter = ScalarQueryParameter | ArrayQueryParameter


@dataclass(frozen=True)
class Query:
    """A query with its named parameters."""

    sql: str
    parameters: tuple[Parameter, ...] = ()


def pairs(source: SourceSettings, split: SplitSettings, tables: TableName, suffixes: Sequence[str]) -> Query:
    """Return the query for the rows of pipeline.sources.bigquery.pairs from the tables of days with these suffixes.

    Views before and after a split in time are summed apart.
    """
    values: dict[str, tuple[str, Any]] = {"suffixes": ("STRING", list(suffixes))}
    for version, prefix in (("final", ""), ("fresh", "fresh_"), ("intraday", "intraday_")):
        # BigQuery scans only the tables between two constants.
        of_version = sorted(suffix for suffix in suffixes if suffix.rpartition("_")[0] == prefix.rstrip("_"))
        values[f"first_{version}"] = ("STRING", of_version[0] if of_version else "")
        values[f"last_{version}"] = ("STRING", of_version[-1] if of_version else "")
    values["missing_ids"] = ("STRING", list(source.names_of_no_id))
    values["cut_ms"] = ("INT64", split.time_ms if split.kind == "time" else _NEVER_MS)
    if source.kind == "ga360":
        values |= {
            "item_dimension_index": ("INT64", source.item_dimension_index),
            "visitor_is_visit": ("BOOL", source.visitor_key == "visit"),
        }
    else:
        values |= {
            "item_parameter": ("STRING", source.item_parameter),
            "prefer_user_id": ("BOOL", source.prefer_user_id),
            "drop_duplicate_events": ("BOOL", source.drop_duplicate_events),
        }
    text = resources.files("pipeline").joinpath("sources", "sql", f"{source.kind}.sql").read_text(encoding="utf-8")
    return Query(text.replace("{source}", str(tables)), _parameters(values))


def of_file(source: SourceSettings) -> Query:
    """Return a user's own query; it may use the parameters @start_date and @end_date, of type DATE.

    Raises:
        UserError: it cannot be read, or uses a window that is not set.
    """
    path = source.query or ""
    try:
        with open(path, encoding="utf-8") as file:
            sql = file.read().strip().rstrip(";")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"source.query {path} cannot be read: {error}") from error
    values: dict[str, tuple[str, Any]] = {}
    for name, day in (("start_date", source.start_date), ("end_date", source.end_date)):
        if f"@{name}" in sql:
            if day is None:
                raise UserError(f"{path} uses @{name}: set source.{name}")
            values[name] = ("DATE", day)
    return Query(sql, _parameters(values))


def of_view(view: TableName, columns: Iterable[str]) -> Query:
    """Return a query for columns of a view, which the Storage Read API cannot read itself."""
    return Query(f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM `{view}`")  # noqa: S608 - checked names


def shown(query: Query) -> str:
    """Return the query as `bq query` takes it: its parameters first, as comments."""
    lines = []
    for each in query.parameters:
        if isinstance(each, ArrayQueryParameter):
            lines.append(f"-- @{each.name} ARRAY<{each.array_type}> = {each.values!r}")
        else:
            lines.append(f"-- @{each.name} {each.type_} = {each.value!r}")
    return "\n".join([*lines, query.sql])


def _parameters(values: dict[str, tuple[str, Any]]) -> tuple[Parameter, ...]:
    return tuple(
        ArrayQueryParameter(name, kind, value) if isinstance(value, list) else ScalarQueryParameter(name, kind, value)
        for name, (kind, value) in values.items()
    )
