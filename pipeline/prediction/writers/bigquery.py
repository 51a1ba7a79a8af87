"""Predictions -> a BigQuery table, by one load job, which loads all rows or none.

wals load --config YAML      loads written predictions again
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from artifacts import storage
from artifacts.manifests import PredictionsManifest
from artifacts.names import DAY_MS
from artifacts.paths import Predictions, join
from configs import cli
from configs.errors import UserError
from configs.nouns import counted
from configs.settings import Settings
from pipeline.prediction.writers.answers import WORDS, Extra
from pipeline.prediction.writers.parquet import TableWriter, table_schema
from pipeline.sources.bigquery import names
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service, explained

_TYPES = {"string": "STRING", "int64": "INTEGER", "double": "FLOAT", "timestamp[us, tz=UTC]": "TIMESTAMP"}


def check(settings: Settings) -> None:
    """Raise UserError, before anything is predicted, if the table cannot be filled or has other columns."""
    name, service = _name(settings), Service(settings.bigquery)
    wanted = {field.name for field in _schema(settings)}
    with contextlib.closing(service), explained(f"prediction.table {name}"):
        service.jobs.get_dataset(name.in_dataset, retry=service.retry)
        listed = service.jobs.list_tables(name.in_dataset, retry=service.retry)
        if name.table not in (each.table_id for each in listed):
            return
        columns = {field.name for field in service.jobs.get_table(str(name), retry=service.retry).schema}
    if columns != wanted:
        other = sorted(columns ^ wanted)[0]
        raise UserError(f"prediction.table {name} has other columns ({other}); name a new table, it will be created")


def load(settings: Settings, root: str, manifest: PredictionsManifest) -> None:
    """Load the rows written at `root` into the table, all of them or, with a UserError, none."""
    name, service = _name(settings), Service(settings.bigquery)
    day = datetime.datetime.fromisoformat(manifest.run_time)
    paths = [join(root, file) for file in sorted(manifest.files) if file.endswith(TableWriter.suffix)]
    if not paths:
        raise UserError(f"{root} contains no rows for a table; predict again with prediction.table set")
    again = "the files are complete; `wals load` loads them again"
    with contextlib.closing(service), explained(f"prediction.table {name} was not touched ({again})"):
        config = _job_config(settings)
        to = f"{name}${day:%Y%m%d}" if settings.prediction.table_keeps == "day" else str(name)
        if storage.is_remote(root):
            job = service.jobs.load_table_from_uri(paths, to, job_config=config, retry=service.retry)
        else:
            with _one_file(paths) as file:
                job = service.jobs.load_table_from_file(file, to, job_config=config, rewind=True)
        job.result(retry=service.retry)
    print(f"{counted(job.output_rows or 0, 'row')} in {to}")


def _name(settings: Settings) -> TableName:
    name = names.parse(settings.prediction.table or "", "prediction.table")
    if name.star:
        raise UserError(f"prediction.table {name}: name one table")
    return name


def _schema(settings: Settings) -> pa.Schema:
    return table_schema(WORDS[settings.prediction.kind], Extra.of(settings))


def _job_config(settings: Settings) -> bigquery.LoadJobConfig:
    prediction, words = settings.prediction, WORDS[settings.prediction.kind]
    kept = prediction.table_days
    partitioning = bigquery.TimePartitioning(field="run_time", expiration_ms=kept and kept * DAY_MS)
    return bigquery.LoadJobConfig(
        schema=[
            bigquery.SchemaField(f.name, _TYPES[str(f.type)], "NULLABLE" if f.nullable else "REQUIRED")
            for f in _schema(settings)
        ],
        source_format=bigquery.SourceFormat.PARQUET,
        time_partitioning=partitioning,
        clustering_fields=[words.asked],
        create_disposition=bigquery.CreateDisposition.CREATE_IF_NEEDED,
        write_disposition="WRITE_APPEND" if prediction.table_keeps == "all" else "WRITE_TRUNCATE",
        labels=settings.bigquery.labels,
    )


@contextlib.contextmanager
def _one_file(paths: Sequence[str]) -> Iterator[BinaryIO]:
    """Yield one open file with the rows of local files, for one job."""
    with tempfile.TemporaryFile() as joined:
        with pq.ParquetWriter(pa.PythonFile(joined, mode="w"), pq.read_schema(paths[0]), compression="zstd") as writer:
            for path in paths:
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        writer.write_table(file.read_row_group(group))
        joined.seek(0)
        yield joined


def main(argv: Sequence[str] | None = None) -> None:
    """Load the predictions of the configured kind."""
    parser = cli.parser(
        "wals load",
        "Load written predictions into prediction.table again.",
        epilog="example: wals load --config configs/gcp.yaml",
    )
    settings = cli.settings_with(parser.parse_args(argv), {})
    setting = settings.prediction.directory_setting
    root = cli.required(getattr(settings, setting), setting)
    manifest = PredictionsManifest.read(Predictions(root).manifest)
    check(settings)
    load(settings, root, manifest)


if __name__ == "__main__":
    sys.exit(cli.run(main))
