"""Recommendations in a BigQuery table -> its runs, whose lists are read by the Storage Read API."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
from google.cloud import bigquery

from artifacts.names import CONTENT_ID, VISITOR_ID
from configs.errors import UserError
from configs.settings import BigQuerySettings
from pipeline.sources.bigquery import names, sessions
from pipeline.sources.bigquery.service import Service, explained
from pipeline.sources.bigquery.streams import read_stream

_COLUMNS = VISITOR_ID, CONTENT_ID, "rank", "rule"
_SETTING = "outcome.predictions"
_VERSION = re.compile(r"[\w.:-]+")


class Found(NamedTuple):
    """A run in a table: when it was made, its version, the length of its lists, and how its rows are read."""

    time: datetime.datetime
    version: str
    length: int
    streams: tuple[str, ...]
    bytes: int


def runs(url: str, settings: BigQuerySettings) -> list[Found]:
    """Return the runs of a table, with open streams; raise UserError if it is not a table of recommendations."""
    name, service = names.parse(url, _SETTING), Service(settings)
    with contextlib.closing(service), explained(f"{_SETTING} {url}"):
        table = service.jobs.get_table(str(name), retry=service.retry)
        wanted = {*_COLUMNS, "model_version", "run_time"}
        if missing := sorted(wanted - {field.name for field in table.schema}):
            raise UserError(f"{_SETTING} {url} has no column {missing[0]}; name a table of recommendations")
        # Its name is checked above: a parameter cannot name a table.
        query = (
            "SELECT run_time, model_version, MAX(rank) AS length, COUNT(*) AS entries "  # noqa: S608
            f"FROM `{name}` GROUP BY run_time, model_version ORDER BY run_time, model_version"
        )
        config = bigquery.QueryJobConfig(labels=settings.labels)
        if settings.maximum_bytes_billed:
            config.maximum_bytes_billed = settings.maximum_bytes_billed
        rows = list(service.jobs.query(query, config, retry=service.retry).result())
        whole = sum(row["entries"] for row in rows)
        found = []
        for row in rows:
            time, version = row["run_time"].astimezone(datetime.UTC), row["model_version"]
            if not _VERSION.fullmatch(version):
                raise UserError(f"{_SETTING} {url} has an invalid model_version; predict again")
            of_run = f"run_time = TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}+00' AND model_version = '{version}'"
            size = (table.num_bytes or 0) * row["entries"] // whole
            session = sessions.open_session(name, service, _COLUMNS, of_run, size)
            found.append(Found(time, version, row["length"], session.streams, size))
    return found


def entries(stream: str, settings: BigQuerySettings) -> Iterator[pa.RecordBatch]:
    """Yield the columns visitorId, contentId, rank and rule of a stream."""
    service = Service(settings)
    with contextlib.closing(service):
        for raw in read_stream(stream, service):
            yield raw.columns.select(_COLUMNS)
