"""The window of a night: its last day, and its files or tables, each with a value that changes with every write."""

from __future__ import annotations

import argparse
import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

from artifacts import storage
from artifacts.manifests import InputTable
from artifacts.names import FINAL, ITEM, USER, day_table_of_path, tables_to_read
from configs import cli
from configs.errors import UserError
from configs.settings import BIGQUERY, BigQuerySettings, Settings
from ranking.experiments import promoted


class NoTableError(UserError):
    """The date has no table yet: wait for the export, or run another date."""


def settings_of(args: argparse.Namespace, date: datetime.date | None = None) -> Settings:
    """Return the settings of a date's night, by default yesterday's: of an experiment that has ended, its variant's.

    Raise UserError if a variant has a model that was trained elsewhere, on another dataset than the night's.
    """
    settings = cli.settings_from(args, {"source.end_date": str(date or yesterday())})
    for name, variant in settings.experiment.variants.items():
        if variant.model and not variant.is_holdout and not variant.settings:
            raise UserError(
                f"experiment.variants.{name} has the model {variant.model}, which was trained on another dataset than "
                "a night's; name the settings that it was trained by in its settings, and each night trains it"
            )
    return promoted.in_effect(settings)


def yesterday() -> datetime.date:
    """Return the last day that has ended, in UTC."""
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


def parse_date(text: str) -> datetime.date:
    """Return the date of 2024-01-31 or 20240131; raise UserError if it is not a date."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--date {text} is not a date; write it as 2024-01-31") from None


def tables_of(settings: Settings, date: datetime.date) -> list[InputTable]:
    """Return the files or tables of the window that ends with `date`.

    Raise NoTableError if the date itself has no table, UserError if the settings name no input.
    """
    source = settings.source
    if source.query:
        return [InputTable(path=source.query, changed=storage.read_bytes(source.query).decode("utf-8", "replace"))]
    if not source.input:
        raise UserError("no input: set source.input in the config")
    if source.in_bigquery:
        listed = list(_tables(source.input, settings.bigquery))
    else:
        files = storage.glob(source.input)
        listed = [InputTable(path=file.path, bytes=file.bytes, changed=file.changed) for file in files]
    is_export = source.kind in ("ga360", "ga4")
    tables = [(day_table_of_path(table.path) if is_export else None, table) for table in listed]
    read = tables_to_read([day_table for day_table, _ in tables], source.include_intraday)
    window = [
        (day_table, table)
        for (day_table, table), is_read in zip(tables, read, strict=True)
        if is_read and (day_table is None or (source.start_date or day_table.day) <= day_table.day <= date)
    ]
    if not window:
        raise NoTableError(f"nothing of the window matches {source.input}: wait for the export, or check source.input")
    # A fresh or an intraday table may be read, but the night waits for the date's final one.
    days = {day_table.day for day_table, _ in window if day_table and day_table.version == FINAL}
    if date not in days and any(day_table for day_table, _ in window):
        latest = f", the latest is of {max(days)}" if days else ""
        raise NoTableError(f"no table of {date} matches {source.input}{latest}: wait for the export, or pass --date")
    return [table for _, table in window]


def tables_of_attributes(settings: Settings) -> list[InputTable]:
    """Return the tables of BigQuery that are the catalogue and the table of visitors, as far as they are there.

    Raises:
        UserError: BigQuery has no such table, or refuses the request.
    """
    tables = []
    for setting, url in ((ITEM.catalogue, settings.catalogue), (USER.catalogue, settings.user_catalogue)):
        if url is None or not url.startswith(BIGQUERY):
            continue
        name = url.removeprefix(BIGQUERY)
        if len(name.rsplit(".", 2)) < 3:
            raise UserError(f"{setting} {url}: write it as {BIGQUERY}PROJECT.DATASET.TABLE")
        with bigquery_client(settings.bigquery) as client:
            tables.append(_as_input(client.get_table(name)))
    return tables


def _tables(url: str, settings: BigQuerySettings) -> Iterator[InputTable]:
    """Yield the table of bq://PROJECT.DATASET.TABLE, or with `*` all tables of that prefix."""
    dataset, _, table = url.removeprefix(BIGQUERY).rpartition(".")
    with bigquery_client(settings) as client:
        for listed in client.list_tables(dataset):
            matches = listed.table_id == table or (table.endswith("*") and listed.table_id.startswith(table[:-1]))
            if matches:
                yield _as_input(client.get_table(listed.reference))


def _as_input(table: Any) -> InputTable:
    changed = table.modified.isoformat() if table.modified else table.etag
    return InputTable(path=f"{BIGQUERY}{table.reference}", bytes=table.num_bytes, changed=changed)


@contextlib.contextmanager
def bigquery_client(settings: BigQuerySettings) -> Iterator[Any]:
    """Yield a client of BigQuery; an error of the service is a UserError."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    from artifacts.storage.google_cloud import explained

    endpoint = settings.endpoint
    options = {"api_endpoint": endpoint} if endpoint else None
    credentials = AnonymousCredentials() if (endpoint or "").startswith("http://") else None
    with (
        explained("BigQuery", more=(OSError,)),
        contextlib.closing(bigquery.Client(settings.project, credentials, client_options=options)) as client,
    ):
        yield client
