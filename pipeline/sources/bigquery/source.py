"""BigQuery as a source: tables, or queries' results, opened as streams that workers read in parallel.

The Storage Read API returns the columns that the source reads of files, and only the rows of the events that it counts;
the rule that makes interactions of them is that of the files. It cannot read views: a query puts their rows into a
table that it can read.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
from google.api_core import exceptions
from google.cloud.bigquery import SchemaField, Table

from configs.errors import UserError
from configs.nouns import counted
from configs.settings import BigQuerySettings, Settings, SourceSettings
from pipeline.sources import table
from pipeline.sources.bigquery import day_tables, names, queries, results, selection, sessions
from pipeline.sources.bigquery.day_tables import DayTables
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.queries import Query
from pipeline.sources.bigquery.service import Service, explained
from pipeline.sources.bigquery.sessions import Session
from pipeline.sources.bigquery.streams import read_stream
from pipeline.sources.input_files import Input
from pipeline.sources.select import source_of

_AT_ONCE = 8  # tables opened at once: a window of three months has 90
_UNREADABLE = (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.MethodNotImplemented)


@dataclass(frozen=True)
class Part:
    """One table, opened, or a query whose result is read. size: bytes that it reads, as BigQuery counts them."""

    size: int
    location: str | None
    session: Session | None = None
    query: Query | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A plan of what to read. days: of the tables in the window; outside: the number of other tables."""

    parts: tuple[Part, ...]
    restriction: str = ""
    days: tuple[datetime.date, ...] = ()
    outside: int = 0

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def plan(settings: Settings, service: Service) -> Plan:
    """Open the tables, without reading rows, and find what reading them would cost.

    Raise UserError if the tables do not exist, lack columns, or none is in the window; without permission; or if it is
    more bytes than allowed.
    """
    source = settings.source
    if source.query:
        made = Plan((_part_of_query(queries.of_file(source), source.query, service, None),))
    else:
        found = _single(source) if source.kind == "table" else day_tables.of_window(source, service)
        restriction = selection.row_restriction(source)
        open_part = partial(_part_of_table, source=source, schema=_schema(settings), service=service)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            made = Plan(tuple(pool.map(open_part, found.tables)), restriction, found.days, found.outside)
    limit = service.settings.maximum_bytes_billed
    if limit is not None and made.size > limit:
        raise UserError(
            f"{source.query or source.input} would read {made.size:,} bytes, more than bigquery.maximum_bytes_billed "
            f"{limit:,}; narrow the window, or raise the limit"
        )
    return made


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """Open the tables, and run queries where tables cannot be read; remove at the end what the run created.

    keep: leave the results for a job that continues without this process. They expire by themselves, but a dataset does
    not: where a query runs, `bigquery.temp_dataset` must be set. Raises as `plan`.
    """
    service = Service(settings.bigquery)
    try:
        made = plan(settings, service)
        if keep and not settings.bigquery.temp_dataset and any(part.query for part in made.parts):
            raise UserError("a detached job needs bigquery.temp_dataset: its result has to outlast this command")
        with _sessions(made.parts, service, keep) as all_sessions:
            yield Input(
                [stream for session in all_sessions for stream in session.streams],
                sum(session.size for session in all_sessions),
                made.outside,
                read=partial(read_stream, service=Service(service.settings)),
                seen={f"seen.date.{day:%Y%m%d}": 0 for day in made.days},
                about={"bytes": made.size, "tables": len(made.parts)},
            )
    finally:
        service.close()


def describe(settings: Settings) -> str:
    """Return what a run would read: the tables, their columns and rows, the SQL of queries, and the bytes."""
    service = Service(settings.bigquery)
    try:
        made = plan(settings, service)
    finally:
        service.close()
    lines = [queries.shown(part.query) for part in made.parts if part.query]
    columns = dict.fromkeys(name for part in made.parts if part.session for name in part.columns)
    if columns:
        lines.append(f"-- the table {settings.source.input} by the Storage Read API")
        lines.append(f"-- its columns {', '.join(columns)}")
        lines += [f"-- its rows with {made.restriction}"] if made.restriction else []
    if made.days:
        lines.append(f"-- {counted(len(made.days), 'table')}, {made.days[0]} to {made.days[-1]}")
    lines.append(f"-- would read {counted(made.size, 'byte')} in {made.parts[0].location or 'the default location'}")
    return "\n".join(lines)


def columns_of(url: str, setting: str, settings: BigQuerySettings) -> tuple[list[str], int]:
    """Return the names of a table's or view's columns, and the bytes that `read_table` would read.

    Raises:
        UserError: it does not exist or cannot be read.
    """
    service = Service(settings)
    try:
        part = _whole(names.parse(url, setting), service)
    finally:
        service.close()
    return list(part.columns), part.size


def read_table(url: str, setting: str, settings: BigQuerySettings) -> pa.Table:
    """Return all columns and rows of a table or view, such as a catalogue's, that a setting names.

    url: bq://PROJECT.DATASET.TABLE. Raise UserError if it does not exist or cannot be read.
    """
    service = Service(settings)
    try:
        with _sessions((_whole(names.parse(url, setting), service),), service, keep=False) as (session,):
            return sessions.read_all(session, service)
    finally:
        service.close()


def _whole(name: TableName, service: Service) -> Part:
    """Return a table or view with all of its columns."""
    with explained(str(name)):
        found = service.jobs.get_table(str(name), retry=service.retry)
    part = _open(name, found, found.schema, "", service)
    return replace(part, columns=tuple(field.name for field in found.schema))


def _single(source: SourceSettings) -> DayTables:
    name = names.parse(source.input or "", "source.input")
    if name.star:
        raise UserError(f"source.input {source.input}: of many tables make a view, or a query for source.query")
    return DayTables((name,))


def _schema(settings: Settings) -> pa.Schema:
    """Return the fields that the source reads of files."""
    if settings.source.kind == "table":
        return pa.schema([pa.field(name, pa.null()) for name in table.column_names(settings.source)])
    return source_of(settings.source, settings.rating, settings.split).schema


def _part_of_table(name: TableName, source: SourceSettings, schema: pa.Schema, service: Service) -> Part:
    with explained(str(name)):
        found = service.jobs.get_table(str(name), retry=service.retry)
    columns = {field.name for field in found.schema}
    if source.kind == "table" and (missing := [column for column in schema.names if column not in columns]):
        raise UserError(f"{source.input} has no column {missing[0]}; source.visitor_column and so on name the columns")
    if missing := [column for column in selection.needed(source) if column not in columns]:
        raise UserError(
            f"{name} is not a {source.kind} export for these signals: it has no column {missing[0]}; "
            "set source.kind and source.signals to what the tables contain"
        )
    fields = selection.prune(schema, found.schema)
    return _open(name, found, fields, selection.row_restriction(source), service)


def _open(name: TableName, found: Table, fields: Sequence[SchemaField], restriction: str, service: Service) -> Part:
    """Open a session on a table; if the Storage Read API cannot read it, return the query that can."""
    columns = tuple(selection.names(fields))
    if found.table_type == "TABLE":
        with explained(str(name)), contextlib.suppress(*_UNREADABLE):
            session = sessions.open_session(name, service, columns, restriction, found.num_bytes or 0)
            return Part(session.size, found.location, session, columns=columns)
    query = Query(selection.select(name, fields, restriction))
    return _part_of_query(query, str(name), service, found.location)


def _part_of_query(query: Query, what: str, service: Service, location: str | None) -> Part:
    with explained(what):
        location, size = results.dry_run(query, service, location)
    return Part(size, location, query=query)


@contextlib.contextmanager
def _sessions(parts: Sequence[Part], service: Service, keep: bool) -> Iterator[list[Session]]:
    """Run the queries of a plan; return one session per part."""
    with contextlib.ExitStack() as stack:
        all_sessions, dataset = [], None
        for part in parts:
            if part.session:
                all_sessions.append(part.session)
            elif part.query:
                dataset = dataset or stack.enter_context(results.scratch(service, part.location))
                result = results.table_of(part.query, service, dataset, part.location, keep)
                all_sessions.append(_session_of_result(stack.enter_context(result), service))
        yield all_sessions


def _session_of_result(name: TableName, service: Service) -> Session:
    with explained("reading the query's result"):
        size = service.jobs.get_table(str(name), retry=service.retry).num_bytes or 0
        return sessions.open_session(name, service, table_bytes=size)
