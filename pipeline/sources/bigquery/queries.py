"""A query with its parameters: a user's own file, as it is run and as it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from google.cloud.bigquery import ScalarQueryParameter

from configs.errors import UserError
from configs.settings import SourceSettings


@dataclass(frozen=True)
class Query:
    """A query with its named parameters."""

    sql: str
    parameters: tuple[ScalarQueryParameter, ...] = ()


def of_file(source: SourceSettings) -> Query:
    """Return a user's own query; it may use the parameters @start_date and @end_date, of type DATE.

    Raise UserError if it cannot be read, or uses a window that is not set.
    """
    path = source.query or ""
    try:
        with open(path, encoding="utf-8") as file:
            sql = file.read().strip().rstrip(";")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"source.query {path} cannot be read: {error}") from error
    parameters = []
    for name, day in (("start_date", source.start_date), ("end_date", source.end_date)):
        if f"@{name}" in sql:
            if day is None:
                raise UserError(f"{path} uses @{name}: set source.{name}")
            parameters.append(ScalarQueryParameter(name, "DATE", day))
    return Query(sql, tuple(parameters))


def shown(query: Query) -> str:
    """Return the query as `bq query` takes it: its parameters first, as comments."""
    return "\n".join([*(f"-- @{each.name} {each.type_} = {each.value!r}" for each in query.parameters), query.sql])
