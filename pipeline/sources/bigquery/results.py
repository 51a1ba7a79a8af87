"""Results of queries as tables that the Storage Read API can read, removed once they are read."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Iterator

from google.cloud import bigquery

from configs.errors import UserError
from pipeline.sources.bigquery import names
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.queries import Query
from pipeline.sources.bigquery.service import Service, explained

_LIFE = datetime.timedelta(hours=12)  # of what a killed run leaves behind; a read session lasts six


def dry_run(query: Query, service: Service, location: str | None) -> tuple[str | None, int]:
    """Return where a query would run, and the bytes that it would read; it costs nothing."""
    config = _job_config(query, service, dry_run=True, use_query_cache=False)
    job = service.jobs.query(query.sql, config, location=location, retry=service.retry, job_retry=None, timeout=60)
    return job.location or location, job.total_bytes_processed or 0


@contextlib.contextmanager
def table_of(query: Query, service: Service, dataset: str, location: str | None, keep: bool) -> Iterator[TableName]:
    """Run a query and return the table with its result, which is removed at the end, or on an error.

    It is not the query's anonymous table, so that it is in a dataset that the site chose and expires by itself if this
    process is killed, or if a job that continues without this process shall `keep` it.
    """
    project, _, dataset_id = dataset.rpartition(".")
    name = TableName(project, dataset_id, f"interactions_{uuid.uuid4().hex}")
    until = datetime.datetime.now(datetime.UTC) + _LIFE
    options = f"OPTIONS (expiration_timestamp = TIMESTAMP '{until:%Y-%m-%d %H:%M:%S}+00')"
    try:
        with explained("the query"):
            service.jobs.query(
                f"CREATE TABLE `{name}` {options} AS\n{query.sql}",
                _job_config(query, service),
                location=location,
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
def scratch(service: Service, location: str | None) -> Iterator[str]:
    """Return the dataset for results: the one in the settings, or a temporary one for this run."""
    given = service.settings.temp_dataset
    if given:
        names.check_dataset(given, "bigquery.temp_dataset")
        with explained(f"bigquery.temp_dataset {given}"):
            dataset = service.jobs.get_dataset(given, retry=service.retry)
        if location and dataset.location and dataset.location != location:
            raise UserError(
                f"bigquery.temp_dataset {given} is in {dataset.location}, the tables in {location}; "
                f"name a dataset in {location}"
            )
        yield given
        return
    dataset = bigquery.Dataset(f"{service.jobs.project}.wals_temp_{uuid.uuid4().hex}")
    dataset.location = location
    dataset.default_table_expiration_ms = int(_LIFE.total_seconds() * 1000)
    dataset.labels = service.settings.labels
    with explained(f"a temporary dataset in {service.jobs.project} (bigquery.temp_dataset names an existing one)"):
        service.jobs.create_dataset(dataset, retry=service.retry)
    try:
        yield f"{dataset.project}.{dataset.dataset_id}"
    finally:
        service.jobs.delete_dataset(dataset, delete_contents=True, not_found_ok=True, retry=service.retry)


def _job_config(query: Query, service: Service, **more: object) -> bigquery.QueryJobConfig:
    settings = service.settings
    config = bigquery.QueryJobConfig(query_parameters=list(query.parameters), labels=settings.labels, **more)
    if settings.maximum_bytes_billed is not None:
        config.maximum_bytes_billed = settings.maximum_bytes_billed
    return config
