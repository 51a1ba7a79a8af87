"""Files of ids, one per line: whom to answer, whom to leave out, and which items may be answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from artifacts.storage import read_bytes
from configs.errors import UserError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile("\r\n|\n|\r")


def parse_lines(data: bytes, file: str) -> list[bytes]:
    """Return the lines of a text that a person or any system wrote, without blank ones; UTF-16 becomes UTF-8.

    Args:
        file: the setting and the path, for messages.

    Raises:
        UserError: the text is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file} is not text in UTF-8: save it in UTF-8") from None
    if "\0" in text:
        raise UserError(f"{file} is not text in UTF-8: save it in UTF-8")
    return [line.encode() for line in _LINE_END.split(text) if line]


def forms(line: bytes) -> set[bytes]:
    """Return the ids that a line can mean: as it is, and without quotes and blanks around it."""
    stripped = line.strip()
    if stripped[:1] == stripped[-1:] == b'"' and len(stripped) > 1:
        stripped = stripped[1:-1].replace(b'""', b'"')
    return {line, stripped} - {b""}


def read_ids(path: str, setting: str) -> list[bytes]:
    """Return the ids of a list in its order, each once; `parse_lines` has the encodings.

    Args:
        setting: the setting whose value is the path, for messages.

    Raises:
        UserError: the file is missing, is not text in UTF-8 or UTF-16, or has no ids.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{setting}: {path} does not exist") from None
    except OSError as error:
        raise UserError(f"{setting}: {path} cannot be read: {error}") from error
    ids = dict.fromkeys(parse_lines(data, f"{setting}: {path}"))
    if not ids:
        raise UserError(f"{setting}: {path} has no ids; write one per line")
    return list(ids)


def allowed(ids: Sequence[bytes], allow: str | None, block: str | None) -> list[bool]:
    """Return for each id whether the files `prediction.allow` and `prediction.block`, if set, let it be an answer."""
    only = set(read_ids(allow, "prediction.allow")) if allow else None
    never = set(read_ids(block, "prediction.block")) if block else set()
    return [(only is None or name in only) and name not in never for name in ids]
