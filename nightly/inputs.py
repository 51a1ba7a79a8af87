"""What a night reads: the tables of its window, and what tells whether they have changed."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

from artifacts import storage
from artifacts.names import day_of_table
from configs.errors import UserError
from configs.settings import BIGQUERY, BigQuerySettings, Settings

Found = list[dict[str, Any]]


class NoTableError(UserError):
    """The date has no table yet: wait for the export, or run another date."""


def of(settings: Settings, date: datetime.date) -> Found:
    """The files or tables of the window, each with what changes when it is written again.

    Raises:
        NoTableError: the date itself has none, or nothing matches at all.
        UserError: no input is named, or BigQuery cannot be asked.
    """
    source = settings.source
    if source.query:
        return [{"path": source.query, "changed": storage.read_bytes(source.query).decode("utf-8", "replace")}]
    if not source.input:
        raise UserError("no input: set source.input in the config")
    listed = _tables(source.input, settings.bigquery) if source.in_bigquery else _files(source.input)
    found, days = [], set()
    for name, table in listed:
        day = day_of_table(name) if source.kind in ("ga360", "ga4") else None
        if day is None or (source.start_date or day) <= day <= date:
            found.append(table)
            days.add(day)
    if not found:
        raise NoTableError(f"nothing of the window matches {source.input}: wait for the export, or check source.input")
    if None not in days and date not in days:
        latest = max(day for day in days if day is not None)
        found_none = f"no table of {date} matches {source.input}, the latest is of {latest}"
        raise NoTableError(f"{found_none}: wait for the export, or pass --date")
    return found


def _files(pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in storage.glob(pattern):
        yield os.path.basename(file.path), {"path": file.path, "bytes": file.bytes, "changed": file.changed}


def _tables(url: str, settings: BigQuerySettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables that bq://PROJECT.DATASET.TABLE names, or with `*` those that begin so; without intraday ones."""
    name = url.removeprefix(BIGQUERY)
    dataset, _, table = name.rpartition(".")
    with client(settings) as asked:
        wanted = [
            listed.reference
            for listed in asked.list_tables(dataset)
            if listed.table_id == table or (table.endswith("*") and listed.table_id.startswith(table[:-1]))
        ]
        for reference in wanted:
            if "_intraday_" not in reference.table_id:
                found = asked.get_table(reference)
                changed = found.modified.isoformat() if found.modified else found.etag
                yield (
                    reference.table_id,
                    {"path": f"{BIGQUERY}{reference}", "bytes": found.num_bytes, "changed": changed},
                )


@contextlib.contextmanager
def client(settings: BigQuerySettings) -> Iterator[Any]:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    endpoint = settings.endpoint
    options = {"api_endpoint": endpoint} if endpoint else None
    credentials = AnonymousCredentials() if (endpoint or "").startswith("http://") else None
    try:
        with contextlib.closing(bigquery.Client(settings.project, credentials, client_options=options)) as made:
            yield made
    except (GoogleAPICallError, GoogleAuthError, OSError) as error:
        said = getattr(error, "message", None) or str(error)
        raise UserError(f"BigQuery cannot be asked: {' '.join(said.split())}") from error
