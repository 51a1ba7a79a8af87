"""A sample of BigQuery's tables: the first rows of each, by the Storage Read API, bounded in bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from google.cloud.bigquery import Table

from configs.errors import UserError
from configs.settings import BigQuerySettings, SourceSettings
from pipeline.inspection.sampling import schemas
from pipeline.inspection.sampling.files import MOST_BYTES, Sample, evenly
from pipeline.inspection.sampling.kinds import NAMES, kind_of
from pipeline.readers.records import RawBatch
from pipeline.sources.bigquery import day_tables, selection, sessions
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service, explained
from pipeline.sources.bigquery.streams import read_stream

_BYTES_PER_TABLE = 1 << 24
_NESTED = "RECORD"


def take(url: str, settings: BigQuerySettings, most_bytes: int = MOST_BYTES) -> Sample:
    """Read a sample of tables, bq://PROJECT.DATASET.TABLE with * for tables of days.

    most_bytes: of all tables together; if there are many, evenly chosen ones are read. Raise UserError if a table does
    not exist, cannot be read, or has no rows.
    """
    service = Service(settings)
    try:
        found = day_tables.of_window(SourceSettings(kind="ga4", input=url), service)
        chosen = evenly(found.tables, max(1, most_bytes // _BYTES_PER_TABLE))
        sample = Sample(url, "table", (), len(found.tables), opened=len(chosen), unit="table")
        shares = [_read(name, service, sample, most_bytes / len(chosen)) for name in chosen]
    finally:
        service.close()
    if not sample.rows:
        raise UserError(f"{url} has no rows in {len(chosen)} tables; name those of other days")
    sample.share = float(np.mean(shares)) * len(chosen) / len(found.tables)
    return sample


def _read(name: TableName, service: Service, sample: Sample, most_bytes: float) -> float:
    """Add the first rows of a table to a sample; return their share of the table."""
    with explained(str(name)):
        table = service.jobs.get_table(str(name), retry=service.retry)
    columns = tuple(field.name for field in table.schema)
    kind = kind_of(columns)
    if table.table_type != "TABLE":
        some = f"CREATE TABLE DATASET.NAME AS SELECT * FROM `{name}` LIMIT 100000"  # noqa: S608 - for the user to run
        kind_of_table = table.table_type.lower().replace("_", " ")
        raise UserError(f"{name} is a {kind_of_table}, which only pipeline.preprocess reads; inspect a table: {some}")
    if not sample.columns:
        nested = {field.name for field in table.schema if field.field_type == _NESTED}
        sample.kind = kind
        sample.columns = tuple(each for each in columns if kind != "table" or each not in nested)
    elif kind != sample.kind:
        raise UserError(
            f"{name} is a {NAMES[kind]}, the tables before it are a {NAMES[sample.kind]}; name those of one"
        )
    size = rows = 0
    for batch in _batches(name, table, sample, service):
        sample.batches.append((str(name), batch))
        size, rows = size + batch.columns.nbytes, rows + batch.columns.num_rows
        if size >= most_bytes:
            break
    return rows / table.num_rows if table.num_rows else 1.0


def _batches(name: TableName, table: Table, sample: Sample, service: Service) -> Iterator[RawBatch]:
    if sample.kind == "table":
        columns = list(sample.columns)
    else:
        fields = selection.prune(schemas.GA4 if sample.kind == "ga4" else schemas.GA360, table.schema)
        columns = list(selection.names(fields))
    with explained(f"reading {name}"):
        session = sessions.open_session(name, service, columns)
    for stream in session.streams:
        yield from read_stream(stream, service, batch_bytes=1)  # as they arrive, to stop in time
