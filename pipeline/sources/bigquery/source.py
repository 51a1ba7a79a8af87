"""BigQuery as a source: a query's result, or a table, opened as streams that workers read in parallel."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from google.api_core.exceptions import BadRequest
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types

from artifacts.names import day_table_of_suffix, tables_to_read
from configs.errors import UserError
from configs.settings import Settings, SourceSettings, SplitSettings
from pipeline.sources import table
from pipeline.sources.bigquery import names, queries
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.queries import Query
from pipeline.sources.bigquery.service import Service, explained, line
from pipeline.sources.bigquery.streams import read_stream
from pipeline.sources.input_files import Input

_STREAM_BYTES = 1 << 26  # of rows per stream, at least
_MOST_STREAMS = 1000  # the service's own limit
_LIFE = datetime.timedelta(hours=12)  # of what a killed run leaves behind; a read session lasts six
_PREFIX = {"ga360": "ga_sessions_", "ga4": "events_"}
_OTHER_SCHEMA = ("Unrecognized name", "not found", "does not exist", "No matching signature", "Cannot access field")


@dataclass(frozen=True)
class Plan:
    """A plan of what to read.

    query: whose result is read; None to read `table` as it is. days: of the tables in the window; outside: the number
    of other tables. location: of the data. read_bytes: of the query or the table, as BigQuery counts them.
    """

    query: Query | None
    table: TableName | None
    columns: tuple[str, ...] = ()
    days: tuple[datetime.date, ...] = ()
    outside: int = 0
    location: str | None = None
    read_bytes: int = 0


def plan(settings: Settings, service: Service) -> Plan:
    """Find the tables and what reading them would cost, without reading rows.

    Raises:
        UserError: the tables do not exist, or none is in the window; no permission; more bytes than allowed.
    """
    source = settings.source
    if source.query:
        made = Plan(queries.of_file(source), None)
    elif source.kind == "table":
        made = _plan_table(source, service)
    else:
        made = _plan_days(source, settings.split, service)
    if made.query is None:
        return made
    location, read_bytes = _dry_run(made.query, source, service, made.location)
    made = replace(made, location=location, read_bytes=read_bytes)
    limit = service.settings.maximum_bytes_billed
    if limit is not None and made.read_bytes > limit:
        raise UserError(
            f"the query would read {made.read_bytes:,} bytes, more than bigquery.maximum_bytes_billed {limit:,}; "
            "narrow the window, or raise the limit"
        )
    return made


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """Run the query and open its result; remove at the end, or on an error, what the run created.

    Args:
        keep: leave the result for a job that continues without this process. It expires by itself, but a
            dataset does not: `bigquery.temp_dataset` must be set.

    Raises:
        UserError: see `plan`.
    """
    if keep and not settings.bigquery.temp_dataset:
        raise UserError("a detached job needs bigquery.temp_dataset: its result has to outlast this command")
    service = Service(settings.bigquery)
    try:
        found = plan(settings, service)
        with _result(found, service, keep) as name:
            yield _open(found, name, settings.source, service)
    finally:
        service.close()


def describe(settings: Settings) -> str:
    """Return what a run would do: its SQL, the tables, the bytes that it would read."""
    service = Service(settings.bigquery)
    try:
        found = plan(settings, service)
    finally:
        service.close()
    lines = [queries.shown(found.query) if found.query else f"the table {found.table} as it is, without a query"]
    if found.days:
        lines.append(f"-- {len(found.days)} tables, {found.days[0]} to {found.days[-1]}")
    lines.append(f"-- would read {found.read_bytes:,} bytes in {found.location or 'the default location'}")
    return "\n".join(lines)


def _plan_table(source: SourceSettings, service: Service) -> Plan:
    name = names.parse(source.input or "", "source.input")
    if name.star:
        raise UserError(f"source.input {source.input}: of many tables make a view, or a query for source.query")
    with explained(str(source.input)):
        found = service.jobs.get_table(str(name), retry=service.retry)
    columns = tuple(table.column_names(source))
    missing = [column for column in columns if column not in {field.name for field in found.schema}]
    if missing:
        raise UserError(f"{source.input} has no column {missing[0]}; source.visitor_column and so on name the columns")
    if found.table_type != "TABLE":
        return Plan(queries.of_view(name, columns), None, location=found.location)
    return Plan(None, name, columns, location=found.location, read_bytes=found.num_bytes or 0)


def _plan_days(source: SourceSettings, split: SplitSettings, service: Service) -> Plan:
    tables, only = names.split_day(names.parse(source.input or "", "source.input"))
    if not tables.star:
        example = f"{tables.in_dataset}.{_PREFIX[source.kind]}*"
        raise UserError(f"source.input {source.input}: name the tables of days, e.g. bq://{example}")
    with explained(str(source.input)):
        dataset = service.jobs.get_dataset(tables.in_dataset, retry=service.retry)
        listed = [each.table_id for each in service.jobs.list_tables(dataset, retry=service.retry)]
    suffixes = [name.removeprefix(tables.table) for name in listed if name.startswith(tables.table)]
    dated = [(suffix, table) for suffix in suffixes if (table := day_table_of_suffix(suffix))]
    chosen = tables_to_read([table for _, table in dated], source.include_intraday)
    days = {table.day: suffix for (suffix, table), read in zip(dated, chosen, strict=True) if read}
    if only:
        days = {day: suffix for day, suffix in days.items() if day == only}
    if not days:
        raise UserError(
            f"{source.input}: {tables.in_dataset} has no tables {tables.table}YYYYMMDD; it has {_some(listed)}"
        )
    first, last = source.start_date or min(days), source.end_date or max(days)
    inside = sorted(day for day in days if first <= day <= last)
    if not inside:
        raise UserError(
            f"no table of {source.input} is of the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"they are of {min(days)} to {max(days)}"
        )
    query = queries.pairs(source, split, tables, [days[day] for day in inside])
    return Plan(query, None, days=tuple(inside), outside=len(days) - len(inside), location=dataset.location)


def _some(listed: list[str]) -> str:
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "") if listed else "no tables at all"


def _dry_run(query: Query, source: SourceSettings, service: Service, location: str | None) -> tuple[str | None, int]:
    config = _job_config(query, service, dry_run=True, use_query_cache=False)
    with explained(str(source.query or source.input)):
        try:
            job = service.jobs.query(
                query.sql, config, location=location, retry=service.retry, job_retry=None, timeout=60
            )
        except BadRequest as error:
            unlike = any(words in str(error) for words in _OTHER_SCHEMA)
            if source.kind == "table" or not unlike:
                raise
            raise UserError(
                f"{source.input} is not a {source.kind} export ({line(error)}); set source.kind to what they contain"
            ) from error
    return job.location or location, job.total_bytes_processed or 0


def _job_config(query: Query, service: Service, **more: object) -> bigquery.QueryJobConfig:
    settings = service.settings
    config = bigquery.QueryJobConfig(query_parameters=list(query.parameters), labels=settings.labels, **more)
    if settings.maximum_bytes_billed is not None:
        config.maximum_bytes_billed = settings.maximum_bytes_billed
    return config


@contextlib.contextmanager
def _result(found: Plan, service: Service, keep: bool) -> Iterator[TableName]:
    """Return the table to read: the source's own, or a new one with the query's result, which is removed at the end.

    The new one is not the query's anonymous table, so that it is in a dataset that the site chose and expires by
    itself if this process is killed.
    """
    if found.query is None:
        yield cast(TableName, found.table)
        return
    with _scratch(found, service) as dataset:
        project, _, dataset_id = dataset.rpartition(".")
        name = TableName(project, dataset_id, f"interactions_{uuid.uuid4().hex}")
        until = datetime.datetime.now(datetime.UTC) + _LIFE
        options = f"OPTIONS (expiration_timestamp = TIMESTAMP '{until:%Y-%m-%d %H:%M:%S}+00')"
        try:
            with explained("the query"):
                service.jobs.query(
                    f"CREATE TABLE `{name}` {options} AS\n{found.query.sql}",
                    _job_config(found.query, service),
                    location=found.location,
                    retry=service.retry,
                    job_retry=service.retry,
                ).result(retry=service.retry, job_retry=service.retry)
            yield name
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                service.jobs.delete_table(str(name), retry=service.retry, not_found_ok=True)


@contextlib.contextmanager
def _scratch(found: Plan, service: Service) -> Iterator[str]:
    """Return the dataset for the result: the one in the settings, or a temporary one for this run."""
    given = service.settings.temp_dataset
    if given:
        names.check_dataset(given, "bigquery.temp_dataset")
        with explained(f"bigquery.temp_dataset {given}"):
            dataset = service.jobs.get_dataset(given, retry=service.retry)
        if found.location and dataset.location and dataset.location != found.location:
            raise UserError(
                f"bigquery.temp_dataset {given} is in {dataset.location}, the tables in {found.location}; "
                f"name a dataset in {found.location}"
            )
        yield given
        return
    dataset = bigquery.Dataset(f"{service.jobs.project}.wals_temp_{uuid.uuid4().hex}")
    dataset.location = found.location
    dataset.default_table_expiration_ms = int(_LIFE.total_seconds() * 1000)
    dataset.labels = service.settings.labels
    with explained(f"a temporary dataset in {service.jobs.project} (bigquery.temp_dataset names an existing one)"):
        service.jobs.create_dataset(dataset, retry=service.retry)
    try:
        yield f"{dataset.project}.{dataset.dataset_id}"
    finally:
        service.jobs.delete_dataset(dataset, delete_contents=True, not_found_ok=True, retry=service.retry)


def _open(found: Plan, name: TableName, source: SourceSettings, service: Service) -> Input:
    """Open a read session on the table; workers read its streams."""
    session = types.ReadSession(
        table=f"projects/{name.project}/datasets/{name.dataset}/tables/{name.table}",
        data_format=types.DataFormat.ARROW,
        read_options=types.ReadSession.TableReadOptions(
            selected_fields=list(found.columns),
            arrow_serialization_options=types.ArrowSerializationOptions(
                buffer_compression=types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
            ),
        ),
    )
    with explained(f"reading {source.query or source.input}"):
        size = service.jobs.get_table(str(name), retry=service.retry).num_bytes or 0
        streams = min(_MOST_STREAMS, max(1, size // _STREAM_BYTES))
        opened_ = service.storage.create_read_session(
            parent=f"projects/{service.jobs.project}",
            read_session=session,
            max_stream_count=streams,
            retry=service.retry,
        )
    return Input(
        [stream.name for stream in opened_.streams],
        max(size, opened_.estimated_total_bytes_scanned),
        found.outside,
        read=partial(read_stream, service=Service(service.settings)),
        seen={f"seen.date.{day:%Y%m%d}": 0 for day in found.days},
        about={"query_bytes": found.read_bytes, "tables": len(found.days) or 1},
    )
