r"""The text form of predictions: `visitorId<TAB>contentId,contentId,contentId`, one visitor a line.

An id that holds a backslash, a tab or a comma has them escaped as `\\`, `\t` and `\,`; every other id stands as
it is. Ids never hold line ends. `parse_line` is the inverse of `format_line`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPECIAL = re.compile(rb"[\\\t,]")
_ESCAPED = {b"\\": b"\\\\", b"\t": b"\\t", b",": b"\\,"}
_PLAIN = {b"\\": b"\\", b"t": b"\t", b",": b","}
_ID = rb"((?:[^\\\t,]|\\[\\t,])*)"
_LINE = re.compile(_ID + rb"\t(.*)", re.DOTALL)
_CONTENT = re.compile(_ID + rb"(?:,|\Z)")


def escape(name: bytes) -> bytes:
    """An id as it stands in the text form."""
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], name)


def unescape(text: bytes) -> bytes:
    """The id that stands in the text form."""
    return re.sub(rb"\\(.)", lambda found: _PLAIN[found[1]], text)


def format_line(visitor: bytes, escaped_contents: Iterable[bytes]) -> bytes:
    """A line, without its end, of a visitor's id and contents that are escaped already."""
    return escape(visitor) + b"\t" + b",".join(escaped_contents)


def parse_line(line: bytes) -> tuple[bytes, list[bytes]]:
    """The visitor's id and the contents' ids of a line, with or without its end.

    Raises:
        ValueError: the line is not of this form.
    """
    line = line.removesuffix(b"\n")
    head = _LINE.fullmatch(line)
    if head is None:
        raise ValueError(f"no tab behind a visitorId: {line[:80]!r}")
    contents, place, rest = [], 0, head[2]
    while rest and place <= len(rest):
        found = _CONTENT.match(rest, place)
        if found is None:
            raise ValueError(f"a stray tab or backslash among the contents: {line[:80]!r}")
        contents.append(unescape(found[1]))
        place = found.end() if found.end() > found.end(1) else len(rest) + 1
    return unescape(head[1]), contents
