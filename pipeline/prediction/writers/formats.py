"""The formats of predictions: a class each that writes blocks of answers to a file. `WRITERS` names them."""

from __future__ import annotations

import datetime
import io
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Protocol, cast

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.prediction.writers import textform
from pipeline.prediction.writers.answers import Answers, Reasons, Words
from pipeline.prediction.writers.pieces import Pool, as_pieces, digits, in_a_row, quoted


class Writer(Protocol):
    """Writes the answers of one file. It is made with the open file, and does not close it.

    Attributes:
        suffix: of the files' names.
    """

    suffix: ClassVar[str]

    def __init__(self, file: BinaryIO, words: Words) -> None: ...

    def write(self, answers: Answers) -> None:
        """Writes a block of answers."""

    def finish(self) -> None:
        """Writes what the format wants at a file's end. Not called where an error came before."""


class TextWriter:
    """The text form, see `textform`: `asked<TAB>id,id,id`. It has no place for scores and rules."""

    suffix: ClassVar[str] = ".txt"

    def __init__(self, file: BinaryIO, words: Words):
        self._file = file

    def write(self, answers: Answers) -> None:
        pool, there = Pool(), answers.places >= 0
        asked = pool.add(as_pieces(textform.escape_all(answers.asked)))
        names = pool.add(answers.names.escaped.take(pa.array(answers.places[there])))
        heads = np.stack([asked, np.full(len(asked), pool.one(b"\t"))], 1)
        commas = np.where(np.arange(there.shape[1]) > 0, pool.one(b","), Pool.EMPTY)
        entries = in_a_row([commas, _spread(names, there)], there)
        _write_lines(self._file, pool, heads, entries, b"\n")

    def finish(self) -> None:
        """Lines need no end."""


class JsonWriter:
    """JSON lines, with the rule, score and rank of each entry, and why where that was asked."""

    suffix: ClassVar[str] = ".jsonl"

    def __init__(self, file: BinaryIO, words: Words):
        self._file, self._words = file, words

    def write(self, answers: Answers) -> None:
        pool, there, words = Pool(), answers.places >= 0, self._words
        asked = pool.add(quoted(answers.asked))
        rules = {
            rule: pool.one(b',"rule":"%s","%s":[' % (rule.encode(), words.found.encode()))
            for rule in dict.fromkeys(answers.rules)
        }
        opening = np.full(len(asked), pool.one(b'{"%s":' % words.asked.encode()))
        heads = np.stack([opening, asked, np.array([rules[rule] for rule in answers.rules], np.int64)], 1)
        entries = [
            *_opened(pool, there, words.one.encode()),
            _spread(pool.add(answers.names.quoted.take(pa.array(answers.places[there]))), there),
            pool.one(b',"score":'),
            _spread(pool.add(digits(answers.scores[there])), there),
            pool.add(as_pieces([b',"rank":%d' % rank for rank in range(1, there.shape[1] + 1)])),
            *([] if answers.reasons is None else [_spread(pool.add(_because(answers, answers.reasons, there)), there)]),
            pool.one(b"}"),
        ]
        _write_lines(self._file, pool, heads, in_a_row(entries, there), b"]}\n")

    def finish(self) -> None:
        """Lines need no end."""


def _because(answers: Answers, reasons: Reasons, there: np.ndarray) -> pa.LargeBinaryArray:
    """What follows in each entry of all answers: the items that carried it."""
    pool, places = Pool(), reasons.places[there]
    known = places >= 0
    parts = [
        *_opened(pool, known, b"contentId"),
        _spread(pool.add(answers.names.quoted.take(pa.array(places[known]))), known),
        pool.one(b',"contribution":'),
        _spread(pool.add(digits(reasons.shares[there][known])), known),
        pool.one(b"}"),
    ]
    head, end = (np.full((len(places), 1), pool.one(text)) for text in (b',"explanation":[', b"]"))
    return pool.join(np.concatenate([head, in_a_row(parts, known), end], 1))


def _opened(pool: Pool, there: np.ndarray, name: bytes) -> tuple[np.ndarray | int, ...]:
    """What stands before the id of each entry of a JSON list."""
    return np.where(np.arange(there.shape[1]) > 0, pool.one(b","), Pool.EMPTY), pool.one(b'{"%s":' % name)


def _spread(numbers: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Numbers of the pieces of what is there, int64 [..., K]."""
    spread = np.full(there.shape, Pool.EMPTY)
    spread[there] = numbers
    return spread


def _write_lines(file: BinaryIO, pool: Pool, heads: np.ndarray, entries: np.ndarray, end: bytes) -> None:
    lines = pool.join(np.concatenate([heads, entries, np.full((len(heads), 1), pool.one(end))], 1))
    if len(lines):
        file.write(memoryview(lines.buffers()[2]))


def parquet_schema(words: Words, explained: bool = False) -> pa.Schema:
    """The columns of the Parquet form: who is answered, the rule, and a list of id, score and rank (and why)."""
    entry = [(words.one, pa.string()), ("score", pa.float32()), ("rank", pa.int32())]
    if explained:
        reason = pa.struct([("contentId", pa.string()), ("contribution", pa.float32())])
        entry.append(("explanation", pa.list_(reason)))
    answer = [(words.asked, pa.string()), ("rule", pa.string()), (words.found, pa.list_(pa.struct(entry)))]
    return pa.schema([pa.field(name, kind) for name, kind in answer])


class ParquetWriter:
    """Parquet, a row an answer, its entries a list of structs; a row group a block."""

    suffix: ClassVar[str] = ".parquet"

    def __init__(self, file: BinaryIO, words: Words):
        self._file, self._words = file, words
        self._writer: pq.ParquetWriter | None = None

    def write(self, answers: Answers) -> None:
        schema = parquet_schema(self._words, answers.reasons is not None)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        if len(answers):
            self._writer.write_table(_as_table(answers, schema), row_group_size=len(answers))

    def finish(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, parquet_schema(self._words), compression="zstd")
        self._writer.close()


def _as_table(answers: Answers, schema: pa.Schema) -> pa.Table:
    there = answers.places >= 0
    names = answers.names.strings
    ranks = np.broadcast_to(np.arange(1, there.shape[1] + 1, dtype=np.int32), there.shape)
    columns = [names.take(pa.array(answers.places[there])), pa.array(answers.scores[there]), pa.array(ranks[there])]
    kind = schema.field(2).type.value_type
    if answers.reasons is not None:
        places, shares = answers.reasons.places[there], answers.reasons.shares[there]
        known = places >= 0
        parts = [names.take(pa.array(places[known])), pa.array(shares[known])]
        reasons = pa.StructArray.from_arrays(parts, fields=list(kind.field("explanation").type.value_type))
        columns.append(pa.ListArray.from_arrays(_offsets(known.sum(1)), reasons))
    entries = pa.StructArray.from_arrays(columns, fields=list(kind))
    given = pa.ListArray.from_arrays(_offsets(answers.counts), entries)
    asked = pa.array(answers.asked, pa.binary()).cast(pa.string())
    return pa.table([asked, pa.array(list(answers.rules), pa.string()), given], schema=schema)


def _offsets(counts: np.ndarray) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())


@dataclass(frozen=True)
class Stamp:
    """What tells the rows of one run from those of another."""

    model_version: str
    run_time: datetime.datetime


TABLE = "table"


def table_schema(words: Words) -> pa.Schema:
    """The columns of the rows for a database: one an entry, with the run."""
    fields = [(words.asked, pa.string()), (words.one, pa.string()), ("rank", pa.int64()), ("score", pa.float64())]
    more = [("rule", pa.string()), ("model_version", pa.string()), ("run_time", pa.timestamp("us", "UTC"))]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields + more])


class TableWriter:
    """Parquet, a row an entry, with the run's stamp: what a load job takes into BigQuery as it is."""

    suffix: ClassVar[str] = ".table.parquet"

    def __init__(self, file: BinaryIO, words: Words, stamp: Stamp):
        self._stamp, self._schema = stamp, table_schema(words)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, answers: Answers) -> None:
        rows, places = np.nonzero(answers.places >= 0)
        asked = pa.array(answers.asked, pa.binary()).cast(pa.string())
        names = answers.names.strings
        rules = pa.array(list(answers.rules), pa.string())
        columns = [
            asked.take(pa.array(rows)),
            names.take(pa.array(answers.places[rows, places])),
            pa.array(places + 1, pa.int64()),
            pa.array(answers.scores[rows, places].astype(np.float64)),
            rules.take(pa.array(rows)),
            pa.repeat(pa.scalar(self._stamp.model_version), len(rows)),
            pa.repeat(pa.scalar(self._stamp.run_time, pa.timestamp("us", "UTC")), len(rows)),
        ]
        if len(rows):
            self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=len(rows))

    def finish(self) -> None:
        self._writer.close()


WRITERS: Mapping[str, type[Writer]] = {
    "text": TextWriter,
    "jsonl": JsonWriter,
    "parquet": ParquetWriter,
    TABLE: TableWriter,
}


class AnswerFile:
    """One file of one format: written beside its place, and renamed when it is whole; else removed.

    So that a bundle that is retried, or done twice, leaves the one file.
    """

    def __init__(self, prefix: str, form: str, words: Words, stamp: Stamp | None = None):
        """prefix: the path without the format's suffix. stamp: of the run, which TABLE asks for."""
        self._more = {} if stamp is None else {"stamp": stamp}
        kind = WRITERS[form]
        self._form, self._path = form, prefix + kind.suffix
        self._beside = f"{self._path}.{uuid.uuid4().hex}"
        self._kind, self._words = kind, words
        self._records = self._entries = 0

    def __enter__(self) -> AnswerFile:
        self._file = _Counted(FileSystems.create(self._beside, compression_type=CompressionTypes.UNCOMPRESSED))
        self._writer = self._kind(cast(BinaryIO, self._file), self._words, **self._more)
        return self

    def write(self, answers: Answers) -> None:
        """Writes a block of answers."""
        self._writer.write(answers)
        self._records += len(answers)
        self._entries += int(answers.counts.sum())

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._writer.finish()
            self._file.close()
            FileSystems.rename([self._beside], [self._path])
        else:
            with suppress(OSError, BeamIOError):  # the first error is the one to tell of
                self._file.close()
                FileSystems.delete([self._beside])

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the file, when it is whole."""
        return {
            "name": self._path.rsplit("/", 1)[1],
            "format": self._form,
            "records": self._records,
            "entries": self._entries,
            "bytes": self._file.tell(),
            "crc32c": self._file.checksum,
        }


class _Counted(io.RawIOBase):
    """A file that goes through Beam's file systems, counted and summed on its way."""

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file, self._crc, self._bytes = file, google_crc32c.Checksum(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._file.write(data)
        self._crc.update(data)
        self._bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self._bytes

    @property
    def checksum(self) -> str:
        return self._crc.hexdigest().decode()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()
