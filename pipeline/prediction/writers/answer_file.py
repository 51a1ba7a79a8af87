"""Files of answers: one writer for each format, and a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, cast

from artifacts import storage
from artifacts.checksums import FileDescription, SummedFile
from pipeline.prediction.writers.answers import Answers, Stamp, Words, Writer
from pipeline.prediction.writers.parquet import ParquetWriter, TableWriter
from pipeline.prediction.writers.text import JsonWriter, TextWriter

TABLE = "table"
WRITERS: Mapping[str, type[Writer]] = {
    "text": TextWriter,
    "jsonl": JsonWriter,
    "parquet": ParquetWriter,
    TABLE: TableWriter,
}


class AnswerFile:
    """An open file of one format; `create` makes one."""

    def __init__(self, path: str, file: BinaryIO, kind: type[Writer], words: Words, stamp: Stamp):
        self.name, self._records, self._file = path.rsplit("/", 1)[1], 0, SummedFile(file)
        self._writer = kind(cast(BinaryIO, self._file), words, stamp)

    @classmethod
    @contextmanager
    def create(cls, prefix: str, form: str, words: Words, stamp: Stamp) -> Iterator[AnswerFile]:
        """Open a file at `prefix` and the format's suffix.

        It appears atomically when it is complete, so that a bundle that runs twice leaves one file.
        """
        path = prefix + WRITERS[form].suffix
        with storage.open_to_write(path) as file:
            opened = cls(path, file, WRITERS[form], words, stamp)
            yield opened
            opened._writer.finish()

    def write(self, answers: Answers) -> None:
        """Write a block of answers."""
        self._writer.write(answers)
        self._records += len(answers)

    def describe(self) -> FileDescription:
        """Return the file's description in the manifest, after the file is closed."""
        checksum = self._file.checksum
        return FileDescription(bytes=checksum.bytes, crc32c=checksum.hexdigest(), records=self._records)
