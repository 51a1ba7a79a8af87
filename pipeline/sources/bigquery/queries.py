"""The queries that give a source's rows: the rules of sql/, a user's own file, or a view."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from google.cloud.bigquery import ScalarQueryParameter

from configs.errors import UserError
from configs.settings import SourceSettings, SplitSettings
from pipeline.sources.bigquery.names import TableName

_NEVER_MS = 2**62
_NO_SUFFIX = ""  # BETWEEN '' AND '' holds for no table


@dataclass(frozen=True)
class Query:
    """A query with its named parameters."""

    sql: str
    parameters: tuple[ScalarQueryParameter, ...] = ()


def pairs(
    source: SourceSettings, split: SplitSettings, tables: TableName, first: datetime.date, last: datetime.date
) -> Query:
    """The rows of pipeline.sources.bigquery.pairs from Google Analytics' tables of the days `first` to `last`.

    Views before and behind a split in time are summed apart.
    """
    days = [day.strftime("%Y%m%d") for day in (first, last)]
    intraday = [f"intraday_{day}" if source.include_intraday else _NO_SUFFIX for day in days]
    values: dict[str, tuple[str, Any]] = {
        "first_suffix": ("STRING", days[0]),
        "last_suffix": ("STRING", days[1]),
        "first_intraday": ("STRING", intraday[0]),
        "last_intraday": ("STRING", intraday[1]),
    }
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
        }
    text = resources.files("pipeline").joinpath("sources", "sql", f"{source.kind}.sql").read_text(encoding="utf-8")
    return Query(text.replace("{source}", str(tables)), _parameters(values))


def of_file(source: SourceSettings) -> Query:
    """A user's own query; it may use the parameters @start_date and @end_date, of type DATE.

    Raises:
        UserError: it cannot be read, or uses the window where none is set.
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
    """Columns of a view, which the Storage Read API does not read by itself."""
    return Query(f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM `{view}`")  # noqa: S608 - checked names


def shown(query: Query) -> str:
    """The query as `bq query` takes it: its parameters first, as comments."""
    lines = [f"-- @{each.name} {each.type_} = {each.value!r}" for each in query.parameters]
    return "\n".join([*lines, query.sql])


def _parameters(values: dict[str, tuple[str, Any]]) -> tuple[ScalarQueryParameter, ...]:
    return tuple(ScalarQueryParameter(name, kind, value) for name, (kind, value) in values.items())
