"""The formats of the files of answers, by their names in the settings."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.prediction.writers.answers import Writer
from pipeline.prediction.writers.parquet import ParquetWriter, TableWriter
from pipeline.prediction.writers.text import JsonWriter, TextWriter

TABLE = "table"  # written if prediction.table is set
WRITERS: Mapping[str, type[Writer]] = {
    "text": TextWriter,
    "jsonl": JsonWriter,
    "parquet": ParquetWriter,
    TABLE: TableWriter,
}
