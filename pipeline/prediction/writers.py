"""The formats of predictions: a class each that writes blocks of answers to a file. `WRITERS` names them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, ClassVar, Protocol

import google_crc32c
import orjson
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.prediction import textform
from pipeline.prediction.answers import Answers, Words, quote


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
        names = answers.names.escaped
        self._file.write(
            b"".join(
                textform.format_line(asked, [names[place] for place in places]) + b"\n"
                for asked, _, places, _ in answers.rows()
            )
        )

    def finish(self) -> None:
        pass


class JsonWriter:
    """JSON lines, with the rule, and score and rank of each entry."""

    suffix: ClassVar[str] = ".jsonl"

    def __init__(self, file: BinaryIO, words: Words):
        self._file = file
        self._line = b'{"%s":%%s,"rule":"%%s","%s":[%%s]}\n' % (words.asked.encode(), words.found.encode())
        self._entry = b'{"%s":%%s,"score":%%s,"rank":%%d}' % words.one.encode()

    def write(self, answers: Answers) -> None:
        quoted, entry, lines = answers.names.quoted, self._entry, []
        for asked, rule, places, scores in answers.rows():
            # The shortest digits that give the same float32, for the whole answer at once.
            digits = orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")[: len(places)]
            found = zip(places, digits, range(1, len(places) + 1), strict=True)
            given = b",".join([entry % (quoted[place], score, rank) for place, score, rank in found])
            lines.append(self._line % (quote(asked), rule.encode(), given))
        self._file.write(b"".join(lines))

    def finish(self) -> None:
        pass


WRITERS: Mapping[str, type[Writer]] = {"text": TextWriter, "jsonl": JsonWriter}


class AnswerFile:
    """One file of one format: written beside its place, and renamed when it is whole; else removed.

    So that a bundle that is retried, or done twice, leaves the one file.
    """

    def __init__(self, prefix: str, form: str, words: Words):
        """prefix: the path without the format's suffix."""
        kind = WRITERS[form]
        self._form, self._path = form, prefix + kind.suffix
        self._beside = f"{self._path}.{uuid.uuid4().hex}"
        self._kind, self._words = kind, words
        self._records = self._entries = 0

    def __enter__(self) -> AnswerFile:
        self._file = _Counted(FileSystems.create(self._beside, compression_type=CompressionTypes.UNCOMPRESSED))
        self._writer = self._kind(self._file, self._words)
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
            "recommendations": self._entries,
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
