"""Files of answers: one writer for each format, and a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO, ClassVar, Protocol, cast

from artifacts import storage
from artifacts.checksums import SummedFile
from pipeline.prediction.writers.answers import Answers, Stamp, Words
from pipeline.prediction.writers.parquet import ParquetWriter, TableWriter
from pipeline.prediction.writers.text import JsonWriter, TextWriter

TABLE = "table"


class Writer(Protocol):
    """Writes the answers of one open file, and does not close it.

    Attributes:
        suffix: of the files' names.
    """

    suffix: ClassVar[str]

    def __init__(self, file: BinaryIO, words: Words) -> None: ...

    def write(self, answers: Answers) -> None:
        """Write a block of answers."""

    def finish(self) -> None:
        """Write the format's footer. Not called after an error."""


WRITERS: Mapping[str, type[Writer]] = {
    "text": TextWriter,
    "jsonl": JsonWriter,
    "parquet": ParquetWriter,
    TABLE: TableWriter,
}


class AnswerFile:
    """A file of one format, which appears atomically when it is complete: a bundle that runs twice leaves one file."""

    def __init__(self, prefix: str, form: str, words: Words, stamp: Stamp | None = None):
        """Prepare a file at `prefix` and the format's suffix; TABLE needs the run's stamp."""
        self._form, self._words, self._more = form, words, {} if stamp is None else {"stamp": stamp}
        self._path = prefix + WRITERS[form].suffix
        self._open = ExitStack()
        self._records = self._entries = 0

    def __enter__(self) -> AnswerFile:
        self._file = SummedFile(self._open.enter_context(storage.open_to_write(self._path)))
        self._writer = WRITERS[self._form](cast(BinaryIO, self._file), self._words, **self._more)
        return self

    def write(self, answers: Answers) -> None:
        """Write a block of answers."""
        self._writer.write(answers)
        self._records += len(answers)
        self._entries += int(answers.counts.sum())

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self._open.__exit__(kind, *rest)
            return
        with self._open:
            self._writer.finish()

    def describe(self) -> dict[str, Any]:
        """Return the file's description in the manifest, after the file is closed."""
        return {
            "name": self._path.rsplit("/", 1)[1],
            "format": self._form,
            "records": self._records,
            "entries": self._entries,
            "bytes": self._file.checksum.bytes,
            "crc32c": self._file.checksum.hexdigest(),
        }
