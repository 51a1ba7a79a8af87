"""Examples of ids that can be shown: without personal data, and with the varying parts of URLs generalised."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PERSONAL = (
    re.compile(r"[^/\s@]+(@|%40)[^/\s@]+\.[a-z]{2,}", re.IGNORECASE),  # an e-mail address
    re.compile(r"(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])"),  # an IP address
    re.compile(r"\+\d[\d ()/-]{7,}\d"),  # a telephone number
    re.compile(r"\b[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){3,}"),  # an IBAN
)
_URL = re.compile(r"(?:(?:https?:)?//|(?=[^\s/?#]+\.[^\s/?#]+/))[^/?#]*|(?=/)", re.IGNORECASE)  # up to the path
_DIGITS, _HEX = re.compile(r"\d{5,}"), re.compile(r"[0-9a-f]{8,}(-[0-9a-f]{4,})*", re.IGNORECASE)
_WORDS = re.compile(r"(?:[-_+]|%20)+")
_SLUG_WORDS, _SLUG_LETTERS = 4, 28
_LONGEST = 36


def examples(values: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return the first examples that differ and can be shown.

    Args:
        values: ids, those to prefer first.

        >>> examples(["https://example.com/news/123456?utm=a", "https://example.com/news/77777", "a@example.com"])
        ('/news/{digits}',)
    """
    shown: dict[str, None] = {}
    for value in values:
        if not is_personal(value) and (text := generalised(value)):
            shown.setdefault(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")
        if len(shown) == most:
            break
    return tuple(shown)


def is_personal(value: str) -> bool:
    """Return whether a value could be an e-mail address, a telephone number or the like."""
    return any(pattern.search(value) for pattern in _PERSONAL)


def generalised(value: str) -> str:
    """Return the path of a URL, with its long numbers and slugs as patterns.

    Other values are unchanged, but for line ends and other characters that a terminal would obey.
    """
    value = "".join(character if character.isprintable() else "?" for character in value)
    host = _URL.match(value)
    if not host:
        return value
    path = re.sub(r"[?#].*", "", value[host.end() :])
    return "/".join(_segment(segment) for segment in path.split("/")) or "/"


def _segment(segment: str) -> str:
    stem, dot, suffix = segment.rpartition(".")
    if dot and len(suffix) <= len("html") and stem:
        return f"{_segment(stem)}.{suffix}"
    if _HEX.fullmatch(segment) and re.search(r"\d", segment) and not segment.isdecimal():
        return "{hex}"
    words = [word for word in _WORDS.split(segment) if word]
    if len(words) >= _SLUG_WORDS or (len(segment) > _SLUG_LETTERS and "." not in segment):
        return "{slug}"
    return _DIGITS.sub("{digits}", segment)
