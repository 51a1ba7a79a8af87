"""Recommendations in a BigQuery table -> its runs, whose lists are read by the Storage Read API."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
from google.cloud import bigquery

from artifacts.manifests.experiment import ExperimentOfRows
from artifacts.names import CONTENT_ID, VISITOR_ID
from configs.errors import UserError
from configs.settings import BigQuerySettings
from pipeline.sources.bigquery import names, sessions
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service, explained
from pipeline.sources.bigquery.streams import read_stream

_COLUMNS = VISITOR_ID, CONTENT_ID, "rank", "rule"
_PROPENSITY, _VARIANT, _EXPERIMENT = "propensity", "variant", "experiment"  # that only some tables have
_SETTING = "outcome.predictions"
_VERSION = re.compile(r"[\w.:-]+")


class Found(NamedTuple):
    """A run in a table: when it was made, its version, the length of its lists, and how its rows are read.

    is_explored: whether entries have propensities.
    """

    time: datetime.datetime
    version: str
    length: int
    streams: tuple[str, ...]
    bytes: int
    is_explored: bool
    experiment: ExperimentOfRows | None


def runs(url: str, settings: BigQuerySettings) -> list[Found]:
    """Return the runs of a table, with open streams; raise UserError if it is not a table of recommendations."""
    name, service = names.parse(url, _SETTING), Service(settings)
    with contextlib.closing(service), explained(f"{_SETTING} {url}"):
        table = service.jobs.get_table(str(name), retry=service.retry)
        wanted, there = {*_COLUMNS, "model_version", "run_time"}, {field.name for field in table.schema}
        if missing := sorted(wanted - there):
            raise UserError(f"{_SETTING} {url} has no column {missing[0]}; name a table of recommendations")
        rows = _by_time(name, service, settings, there)
        whole = sum(row["entries"] for row in rows)
        columns = (*_COLUMNS, *(column for column in (_PROPENSITY, _VARIANT) if column in there))
        found = []
        for row in rows:
            time, experiment = row["run_time"].astimezone(datetime.UTC), _experiment(url, row)
            version = experiment.model_version if experiment else row["model_version"]
            if not _VERSION.fullmatch(version):
                raise UserError(f"{_SETTING} {url} has an invalid model_version; predict again")
            of_run = f"run_time = TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}+00'"
            size = (table.num_bytes or 0) * row["entries"] // whole
            streams = sessions.open_session(name, service, columns, of_run, size).streams
            found.append(Found(time, version, row["length"], streams, size, _PROPENSITY in there, experiment))
    return found


def _by_time(name: TableName, service: Service, settings: BigQuerySettings, there: set[str]) -> list[bigquery.Row]:
    """Return a row per run: its time, length and entries, its versions, variants and experiments."""
    optional = ""
    if _VARIANT in there:
        optional += f", COUNT({_VARIANT}) AS answers_of_variants"
    if _EXPERIMENT in there:
        optional += f", MAX({_EXPERIMENT}) AS experiment, COUNT(DISTINCT {_EXPERIMENT}) AS experiments"
    # Its name was parsed: a parameter cannot name a table.
    query = (
        "SELECT run_time, MAX(rank) AS length, COUNT(*) AS entries, MAX(model_version) AS model_version, "  # noqa: S608
        f"COUNT(DISTINCT model_version) AS versions{optional} FROM `{name}` GROUP BY run_time ORDER BY run_time"
    )
    config = bigquery.QueryJobConfig(labels=settings.labels)
    if settings.maximum_bytes_billed:
        config.maximum_bytes_billed = settings.maximum_bytes_billed
    return list(service.jobs.query(query, config, retry=service.retry).result())


def _experiment(url: str, row: bigquery.Row) -> ExperimentOfRows | None:
    """Return the experiment of a run, None without one; raise UserError if it is not the one that split the visitors.

    Without it, shares and salt are unknown: they may have changed since.
    """
    text, is_split = row.get("experiment"), row["versions"] > 1 or row.get("answers_of_variants", 0) > 0
    if row.get("experiments", 0) > 1 or (is_split and text is None):
        raise UserError(
            f"{_SETTING} {url} has several versions or variants of one time, and not the experiment that they are of; "
            "name the directories of its files"
        )
    try:
        return None if text is None else ExperimentOfRows.model_validate_json(text)
    except ValueError:
        raise UserError(f"{_SETTING} {url} has an invalid experiment; predict again") from None


def entries(stream: str, settings: BigQuerySettings) -> Iterator[pa.RecordBatch]:
    """Yield the columns visitorId, contentId, rank and rule of a stream, and propensity and variant if it has them."""
    service = Service(settings)
    with contextlib.closing(service):
        for raw in read_stream(stream, service):
            more = [column for column in (_PROPENSITY, _VARIANT) if column in raw.columns.schema.names]
            yield raw.columns.select([*_COLUMNS, *more])
