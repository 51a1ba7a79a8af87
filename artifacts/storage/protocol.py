"""The interface of a storage."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol


class StoredFile(NamedTuple):
    """A file in a listing."""

    path: str
    bytes: int
    changed: str  # differs after every write: the time of the change, or the object's generation
    crc32c: str | None = None  # hexadecimal, if the storage keeps it


_TOKENS = re.compile(r"\*\*/|\*\*|\[!?\]?[^]]*\]|.", re.DOTALL)
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression for the paths of a pattern.

    `*` and `?` do not match `/`, `**` does; `**/` is any number of directories; `[!ab]` is a set.
    """
    return re.compile("".join(map(_expression, _TOKENS.findall(pattern))), re.DOTALL)


def fixed_part(pattern: str) -> str:
    """Return a pattern up to its first wildcard."""
    return re.split(r"[*?[]", pattern, maxsplit=1)[0]


def _expression(token: str) -> str:
    if token.startswith("[") and len(token) > 2:  # a set
        negated = token.startswith("[!")
        return f"(?!/)[{'^' * negated}{re.escape(token[1 + negated : -1])}]".replace(r"\-", "-")
    return _WILDCARDS.get(token) or re.escape(token)


class Storage(Protocol):
    """The operations of a storage; `artifacts.storage` documents each."""

    def read_bytes(self, path: str) -> bytes: ...
    def open_to_read(self, path: str) -> BinaryIO: ...
    def write_bytes(self, path: str, data: bytes) -> None: ...
    def open_to_write(self, path: str) -> AbstractContextManager[BinaryIO]: ...
    def exists(self, path: str) -> bool: ...
    def is_directory(self, path: str) -> bool: ...
    def glob(self, pattern: str) -> list[StoredFile]: ...
    def list_files(self, root: str) -> dict[str, StoredFile]: ...
    def list_directories(self, root: str) -> list[str]: ...
    def remove(self, path: str) -> None: ...
    def make_directory(self, path: str) -> None: ...
    def copy(self, source: str, destination: str) -> None: ...
