r"""The text form of predictions: `visitorId<TAB>contentId,contentId,contentId`, one line per visitor.

In an id, a backslash, a tab and a comma are written `\\`, `\t` and `\,`. Characters that some readers take for the end
of a line are escaped too: `\n`, `\r`, and as `\xHH`, byte by byte, VT, FF, FS, GS, RS, NEL (U+0085), LS and PS (U+2028,
U+2029). Every other id is written as it is. docs/predictions.md describes the form to users.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = re.compile(rb"[\\\t,\n\r\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_ESCAPED = {b"\\": rb"\\", b"\t": rb"\t", b",": rb"\,", b"\n": rb"\n", b"\r": rb"\r"}
_PLAIN = {b"\\": b"\\", b"t": b"\t", b",": b",", b"n": b"\n", b"r": b"\r"}
_ESCAPE = rb"\\(?:[\\t,nr]|x[0-9a-f]{2})"
_BACK = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
# Possessive (++), without backtracking: an id of any length is accepted or refused in one pass.
_ID = re.compile(rb"(?:[^\\\t,\n\r]++|" + _ESCAPE + rb")++")
_ITEMS = re.compile(rb"(?:%s(?:,%s)*+)?" % (_ID.pattern, _ID.pattern))


def escape(name: bytes) -> bytes:
    """Return an id in the text form."""
    return _SPECIAL.sub(_escaped, name)


def escape_all(names: Sequence[bytes]) -> Sequence[bytes]:
    """Return ids in the text form."""
    # Such ids are rare. A match across two ids costs time only.
    return [escape(name) for name in names] if _SPECIAL.search(b"".join(names)) else names


def unescape(text: bytes) -> bytes:
    """Return the id that an escaped text encodes."""
    return _BACK.sub(
        lambda match: _PLAIN[match[1]] if len(match[1]) == 1 else bytes.fromhex(match[1][1:].decode()), text
    )


def parse_line(line: bytes) -> tuple[bytes, list[bytes]]:
    """Return the visitor's id and the items' ids of a line, with or without its end, or raise ValueError."""
    visitor, tab, items = line.removesuffix(b"\n").partition(b"\t")
    if not tab or not _ID.fullmatch(visitor):
        raise ValueError(f"no tab after a visitorId: {line[:80]!r}")
    if not _ITEMS.fullmatch(items):
        raise ValueError(f"a stray tab, comma, backslash or line end among the items: {line[:80]!r}")
    return unescape(visitor), [unescape(item) for item in _ID.findall(items)]


def _escaped(match: re.Match[bytes]) -> bytes:
    text = match[0]
    return _ESCAPED.get(text) or b"".join(b"\\x%02x" % byte for byte in text)
