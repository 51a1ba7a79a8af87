"""Text files of users: lists of ids, one per line, and tables of ids with weights or titles.

All have one rule: UTF-8 or UTF-16, with or without a byte order mark; lines end in any system's way; and an id counts
as it is written and without quotes and blanks around it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from artifacts.names import other_format
from artifacts.storage import read_bytes
from configs.errors import UserError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile("\r\n|\n|\r")
_DELIMITERS = ",;\t|"
_EXCEL = re.compile("sep=([^\r\n])(?:\r\n|\n|\r)", re.IGNORECASE)
_MOST_CHARACTERS = 1 << 17  # of a value
# Names of the columns of ids, in small letters alone: the first line of a list may be one.
_HEADERS = {"visitorid", "contentid", "fullvisitorid", "userpseudoid", "userid", "itemid", "clientid", "id"}
_INVISIBLE = "\ufeff\u200b"  # such as the byte order mark of a file that was put after another


def read_text(path: str, setting: str) -> str:
    """Return the text of the file that a setting names; raise UserError if it cannot be read, or see `decode`."""
    return decode(read_file(path, setting), f"{setting} {path}")


def read_file(path: str, setting: str) -> bytes:
    """Return the bytes of a file; raise UserError if it does not exist or cannot be read."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{setting} {path} does not exist; check the path") from None
    except OSError as error:
        raise UserError(f"{setting} {path} cannot be read: {error.strerror or error}") from error


def decode(data: bytes, file: str) -> str:
    """Return the text of a file's bytes, without a byte order mark.

    Raise UserError, which begins with `file`, if it is of another format, or neither UTF-8 nor UTF-16 with a byte
    order mark.
    """
    if other := other_format(data):
        raise UserError(f"{file} is not text but {other}")
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file} is not UTF-8 in line {line}, but maybe Latin-1: save it in UTF-8") from None
    if "\0" in text:
        raise UserError(f"{file} has NUL characters, as UTF-16 without a byte order mark has: save it in UTF-8")
    return text


def lines(text: str) -> list[str]:
    """Return the lines of a text, whose ends are those of any system."""
    return _LINE_END.split(text)


def rows(path: str, setting: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a CSV file without blank lines, each after its place; raise UserError if it is not a CSV.

    Columns are separated by the first of comma, semicolon, tab and | that the first line has, or as `sep=;` before it
    tells Excel.
    """
    text = read_text(path, setting)
    told = _EXCEL.match(text)
    first = next(filter(str.strip, lines(text)), "")
    delimiter = told[1] if told else next((character for character in _DELIMITERS if character in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    if told:
        next(reader)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{setting} {path}, line {reader.line_num}: {error}; write it as a CSV") from None
        if row is None:
            return
        if any(len(value) > _MOST_CHARACTERS for value in row):
            raise UserError(f"{setting} {path}, line {reader.line_num}: a value is longer than {_MOST_CHARACTERS:,}")
        if row:
            yield f"{setting} {path}, line {reader.line_num}", row


def forms(line: bytes) -> tuple[bytes, ...]:
    """Return the ids that a line can mean: as it is, and without quotes and blanks around it; none of a blank line."""
    stripped = line.decode("utf-8", "surrogateescape").strip().strip(_INVISIBLE).strip()
    if stripped[:1] == stripped[-1:] == '"' and len(stripped) > 1:
        stripped = stripped[1:-1].replace('""', '"')
    return tuple(dict.fromkeys((line, stripped.encode("utf-8", "surrogateescape")))) if stripped else ()


@dataclass(frozen=True)
class IdList:
    """A list of ids: the forms of each line (`forms`), each line once."""

    lines: tuple[tuple[bytes, ...], ...]

    @classmethod
    def parse(cls, text: str) -> IdList:
        """Return the list of a text; blank lines are not ids."""
        listed = map(forms, map(str.encode, lines(text)))
        return cls(tuple(dict.fromkeys(line for line in listed if line)))

    @classmethod
    def read(cls, path: str, setting: str) -> IdList:
        """Read a list by `read_text`; raise UserError if the file has no ids."""
        ids = cls.parse(read_text(path, setting))
        if not ids.lines:
            raise UserError(f"{setting} {path} has no ids; write one per line")
        return ids

    @property
    def ids(self) -> frozenset[bytes]:
        """All ids that the lines can mean."""
        return frozenset(form for line in self.lines for form in line)

    def unknown(self, known: Collection[bytes]) -> list[bytes]:
        """Return the ids that are not among known ones; a first line that is a column's name is not an id."""
        unknown = {line: line[-1] for line in self.lines if not any(form in known for form in line)}
        if re.sub("[^a-z]", "", unknown.get(self.lines[0], b"").decode().lower()) in _HEADERS:
            del unknown[self.lines[0]]
        return list(unknown.values())

    def found(self, known: Collection[bytes]) -> int:
        """Return the number of lines that mean a known id."""
        return sum(any(form in known for form in line) for line in self.lines)


def allowed(ids: Sequence[bytes], allow: str | None, block: str | None) -> list[bool]:
    """Return for each id whether the files `prediction.allow` and `prediction.block`, if set, let it be an answer."""
    only = IdList.read(allow, "prediction.allow").ids if allow else None
    never = IdList.read(block, "prediction.block").ids if block else frozenset()
    return [(only is None or name in only) and name not in never for name in ids]
