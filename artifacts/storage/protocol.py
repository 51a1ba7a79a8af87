"""The interface of a storage."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol


class StoredFile(NamedTuple):
    """A file in a listing.

    Attributes:
        path: the whole path. bytes: its size.
        changed: differs after every write: the time of the change, or the object's generation.
        crc32c: hexadecimal, if the storage keeps it; else None.
    """

    path: str
    bytes: int
    changed: str
    crc32c: str | None = None


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
