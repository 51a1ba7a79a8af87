"""The files or tables of a night's window, each with a value that changes when it is written again."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

from artifacts import storage
from artifacts.manifests import InputTable
from artifacts.names import day_of_table
from configs.errors import UserError
from configs.settings import BIGQUERY, BigQuerySettings, Settings


class NoTableError(UserError):
    """The date has no table yet: wait for the export, or run another date."""


def tables_of(settings: Settings, date: datetime.date) -> list[InputTable]:
    """Return the files or tables of the window that ends with `date`.

    Raises:
        NoTableError: the date itself has no table, or nothing matches at all.
        UserError: the settings name no input, or BigQuery refuses the request.
    """
    source = settings.source
    if source.query:
        return [InputTable(path=source.query, changed=storage.read_bytes(source.query).decode("utf-8", "replace"))]
    if not source.input:
        raise UserError("no input: set source.input in the config")
    listed = _tables(source.input, settings.bigquery) if source.in_bigquery else _files(source.input)
    tables, days = [], set()
    for name, table in listed:
        day = day_of_table(name) if source.kind in ("ga360", "ga4") else None
        if day is None or (source.start_date or day) <= day <= date:
            tables.append(table)
            days.add(day)
    if not tables:
        raise NoTableError(f"nothing of the window matches {source.input}: wait for the export, or check source.input")
    if None not in days and date not in days:
        latest = max(day for day in days if day is not None)
        missing = f"no table of {date} matches {source.input}, the latest is of {latest}"
        raise NoTableError(f"{missing}: wait for the export, or pass --date")
    return tables


def _files(pattern: str) -> Iterator[tuple[str, InputTable]]:
    """Yield each file that matches, by its name."""
    for file in storage.glob(pattern):
        yield os.path.basename(file.path), InputTable(path=file.path, bytes=file.bytes, changed=file.changed)


def _tables(url: str, settings: BigQuerySettings) -> Iterator[tuple[str, InputTable]]:
    """Yield the table of bq://PROJECT.DATASET.TABLE, or with `*` all tables of that prefix but the intraday ones."""
    dataset, _, table = url.removeprefix(BIGQUERY).rpartition(".")
    with bigquery_client(settings) as client:
        for listed in client.list_tables(dataset):
            matches = listed.table_id == table or (table.endswith("*") and listed.table_id.startswith(table[:-1]))
            if matches and "_intraday_" not in listed.table_id:
                details = client.get_table(listed.reference)
                changed = details.modified.isoformat() if details.modified else details.etag
                path = f"{BIGQUERY}{listed.reference}"
                yield listed.table_id, InputTable(path=path, bytes=details.num_bytes, changed=changed)


@contextlib.contextmanager
def bigquery_client(settings: BigQuerySettings) -> Iterator[Any]:
    """Yield a client of BigQuery.

    Raises:
        UserError: the service refuses a request or cannot be reached.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    from artifacts.google_cloud import explained

    endpoint = settings.endpoint
    options = {"api_endpoint": endpoint} if endpoint else None
    credentials = AnonymousCredentials() if (endpoint or "").startswith("http://") else None
    with (
        explained("BigQuery", more=(OSError,)),
        contextlib.closing(bigquery.Client(settings.project, credentials, client_options=options)) as client,
    ):
        yield client
