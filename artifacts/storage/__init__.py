"""Files that jobs exchange, on a local disk or on gs://: one interface, chosen by the path.

Every function takes a path and calls the adapter that serves it. It raises FileNotFoundError if the file does not
exist, OSError if it cannot be read or written, and UserError if the URL's scheme is not gs://.

    >>> write_bytes("/data/model/manifest.json", b"{}")
    >>> [file.path for file in glob("gs://bucket/export/events_*")]
    ['gs://bucket/export/events_20240101.parquet']
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import BinaryIO

from artifacts.storage.local import LocalStorage
from artifacts.storage.protocol import Storage
from artifacts.storage.protocol import StoredFile as StoredFile
from configs.errors import UserError

_LOCAL = LocalStorage()
_REMOTE = "gs://"


def is_remote(path: str) -> bool:
    """Return whether a path is a URL of a storage service, which keeps checksums of its own."""
    return "://" in path


def storage_of(path: str) -> Storage:
    """Return the adapter that serves a path; raise UserError if it is a URL of another service."""
    if not is_remote(path):
        return _LOCAL
    if not path.startswith(_REMOTE):
        raise UserError(f"{path}: its scheme is not supported; name a local path or a gs:// URL")
    return _google_storage()


@lru_cache(maxsize=1)
def _google_storage() -> Storage:
    from artifacts.storage.google import GoogleStorage  # Google's client takes a second to import

    return GoogleStorage()


def read_bytes(path: str) -> bytes:
    """Return the bytes of a file."""
    return storage_of(path).read_bytes(path)


def read_if_exists(path: str) -> bytes | None:
    """Return the bytes of a file, or None if it does not exist."""
    try:
        return read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_to_read(path: str) -> BinaryIO:
    """Open a file for reading in binary, seekable, without decompressing it."""
    return storage_of(path).open_to_read(path)


def write_bytes(path: str, data: bytes) -> None:
    """Write a file atomically: a reader sees the old bytes or the new ones, also after a crash."""
    storage_of(path).write_bytes(path, data)


def open_to_write(path: str) -> AbstractContextManager[BinaryIO]:
    """Open a file for writing in binary; it appears under its name, atomically, when the `with` block succeeds."""
    return storage_of(path).open_to_write(path)


def exists(path: str) -> bool:
    """Return whether a path is a file or a directory."""
    return storage_of(path).exists(path)


def is_directory(path: str) -> bool:
    """Return whether a path is a directory; on gs://, whether any object's name begins with `path/`."""
    return storage_of(path).is_directory(path)


def glob(pattern: str) -> list[StoredFile]:
    """List the files that match a pattern, sorted by path; `*` and `?` do not match `/`, `**` does."""
    return storage_of(pattern).glob(pattern)


def list_files(root: str) -> dict[str, StoredFile]:
    """List all files below a directory by their names relative to it, sorted; empty if it does not exist."""
    return storage_of(root).list_files(root.rstrip("/"))


def list_directories(root: str) -> list[str]:
    """List the names of the directories directly below a directory, sorted; empty if it does not exist."""
    return storage_of(root).list_directories(root.rstrip("/"))


def remove(path: str) -> None:
    """Remove a file, or a directory with everything in it, if it exists.

    A directory's manifest goes first, so that no reader takes a half-removed output for a whole one.
    """
    storage_of(path).remove(path.rstrip("/"))


def make_directory(path: str) -> None:
    """Make a directory and its parents; does nothing on gs://, which has no directories."""
    storage_of(path).make_directory(path)


def copy(source: str, destination: str) -> None:
    """Copy a file, also from one storage to another; it appears atomically."""
    if storage_of(source) is storage_of(destination):
        storage_of(source).copy(source, destination)
        return
    with open_to_read(source) as original, open_to_write(destination) as file:
        shutil.copyfileobj(original, file, 1 << 22)
