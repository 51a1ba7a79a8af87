"""Files of answers: one writer for each format, and a file that appears whole or not at all."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, ClassVar, Protocol, cast

import google_crc32c
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

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
    """A file of one format, written under a temporary name and renamed when it is complete, or removed.

    A bundle that is retried, or run twice, leaves one file.
    """

    def __init__(self, prefix: str, form: str, words: Words, stamp: Stamp | None = None):
        """Prepare a file at `prefix` and the format's suffix; TABLE needs the run's stamp."""
        self._form, self._words, self._more = form, words, {} if stamp is None else {"stamp": stamp}
        self._path = prefix + WRITERS[form].suffix
        self._temporary = f"{self._path}.{uuid.uuid4().hex}"
        self._records = self._entries = 0

    def __enter__(self) -> AnswerFile:
        opened = FileSystems.create(self._temporary, compression_type=CompressionTypes.UNCOMPRESSED)
        self._file = _CountedFile(opened)
        self._writer = WRITERS[self._form](cast(BinaryIO, self._file), self._words, **self._more)
        return self

    def write(self, answers: Answers) -> None:
        """Write a block of answers."""
        self._writer.write(answers)
        self._records += len(answers)
        self._entries += int(answers.counts.sum())

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._writer.finish()
            self._file.close()
            FileSystems.rename([self._temporary], [self._path])
        else:
            with suppress(OSError, BeamIOError):  # the first error is the one to report
                self._file.close()
                FileSystems.delete([self._temporary])

    def describe(self) -> dict[str, Any]:
        """Return the file's description in the manifest, after the file is closed."""
        return {
            "name": self._path.rsplit("/", 1)[1],
            "format": self._form,
            "records": self._records,
            "entries": self._entries,
            "bytes": self._file.tell(),
            "crc32c": self._file.checksum,
        }


class _CountedFile(io.RawIOBase):
    """A file that counts the bytes written to it, and computes their checksum."""

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
