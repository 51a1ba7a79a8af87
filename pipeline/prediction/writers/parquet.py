"""The Parquet formats: one row per answer, and one row per entry for a database."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.prediction.writers.answers import Answers, Extra, Stamp, Words, Writer


def answer_schema(words: Words, extra: Extra, explained: bool = False) -> pa.Schema:
    """Return the columns of one row per answer: the asked id, the rule, and a list of id, score and rank."""
    entry = [(words.entry, pa.string()), ("score", pa.float32()), ("rank", pa.int32())]
    if extra.propensity:
        entry.append(("propensity", pa.float64()))
    if explained:
        reason = pa.struct([("contentId", pa.string()), ("contribution", pa.float32())])
        entry.append(("explanation", pa.list_(reason)))
    return pa.schema([
        (words.asked, pa.string()),
        ("rule", pa.string()),
        *([("variant", pa.string())] if extra.variant else []),
        (words.entries, pa.list_(pa.struct(entry))),
    ])  # fmt: skip


class ParquetWriter(Writer):
    """Writes one row per answer, its entries as a list of structs; a block of answers is a row group."""

    suffix = ".parquet"
    _writer: pq.ParquetWriter | None = None

    def write(self, answers: Answers) -> None:
        writer = self._open(explained=answers.reasons is not None)
        if len(answers):
            writer.write_table(_as_table(answers, writer.schema, self._extra), row_group_size=len(answers))

    def _open(self, explained: bool = False) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._file, answer_schema(self._words, self._extra, explained), compression="zstd"
            )
        return self._writer

    def finish(self) -> None:
        self._open().close()


def _as_table(answers: Answers, schema: pa.Schema, extra: Extra) -> pa.Table:
    names = answers.names.strings
    columns = [names.take(answers.indices), pa.array(answers.scores), pa.array(answers.ranks, pa.int32())]
    if extra.propensity:
        columns.append(pa.array(answers.propensities))
    entry = schema.field(len(schema) - 1).type.value_type
    if answers.reasons is not None:
        items, contributions = answers.reasons.items[answers.filled], answers.reasons.contributions[answers.filled]
        known = items >= 0
        parts = [names.take(pa.array(items[known])), pa.array(contributions[known])]
        reasons = pa.StructArray.from_arrays(parts, fields=list(entry.field("explanation").type.value_type))
        columns.append(pa.ListArray.from_arrays(_offsets(known.sum(1)), reasons))
    entries = pa.StructArray.from_arrays(columns, fields=list(entry))
    lists = pa.ListArray.from_arrays(_offsets(answers.counts), entries)
    of_answers = [_strings(answers.asked), pa.array(list(answers.rules), pa.string())]
    if extra.variant:
        of_answers.append(_variants(answers, len(answers)))
    return pa.table([*of_answers, lists], schema=schema)


def _variants(answers: Answers, rows: int) -> pa.StringArray:
    return pa.repeat(pa.scalar(answers.arm and answers.arm.variant, pa.string()), rows)


def _strings(ids: object) -> pa.StringArray:
    return pa.array(ids, pa.binary()).cast(pa.string())


def _offsets(counts: np.ndarray) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())


def table_schema(words: Words, extra: Extra) -> pa.Schema:
    """Return the columns of one row per entry, with the run that wrote it.

    experiment: what splits the visitors, null in all rows but those of rank 1, since BigQuery bills each text.
    """
    fields = [
        (words.asked, pa.string()),
        (words.entry, pa.string()),
        ("rank", pa.int64()),
        ("score", pa.float64()),
        ("rule", pa.string()),
        ("model_version", pa.string()),
        ("run_time", pa.timestamp("us", "UTC")),
        *([("propensity", pa.float64())] if extra.propensity else []),
    ]
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])
    return pa.schema([*schema, ("variant", pa.string()), ("experiment", pa.string())]) if extra.variant else schema


class TableWriter(Writer):
    """Writes one row per entry, with the run's stamp, as a load job of BigQuery reads it."""

    suffix = ".table.parquet"

    def __init__(self, file: BinaryIO, words: Words, stamp: Stamp, extra: Extra = Extra()):  # noqa: B008 - a constant
        super().__init__(file, words, stamp, extra)
        self._writer = pq.ParquetWriter(file, table_schema(words, extra), compression="zstd")

    def write(self, answers: Answers) -> None:
        rows = pa.array(np.nonzero(answers.filled)[0])
        columns = [
            _strings(answers.asked).take(rows),
            answers.names.strings.take(answers.indices),
            pa.array(answers.ranks),
            pa.array(answers.scores).cast(pa.float64()),
            pa.array(list(answers.rules), pa.string()).take(rows),
            pa.repeat(pa.scalar((answers.arm or self._stamp).model_version), len(rows)),
            pa.repeat(pa.scalar(self._stamp.run_time, pa.timestamp("us", "UTC")), len(rows)),
        ]
        if self._extra.propensity:
            columns.append(pa.array(answers.propensities))
        if self._extra.variant:
            experiment = pa.scalar(self._stamp.experiment, pa.string())
            columns += [
                _variants(answers, len(rows)),
                pc.if_else(pa.array(answers.ranks == 1), experiment, pa.scalar(None, pa.string())),
            ]
        if len(rows):
            self._writer.write_table(pa.table(columns, schema=self._writer.schema), row_group_size=len(rows))

    def finish(self) -> None:
        self._writer.close()
