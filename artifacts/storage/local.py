"""Files on a local disk."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from artifacts.storage.protocol import StoredFile, compiled

_BLOCK_BYTES = 1 << 22


class LocalStorage:
    """A directory tree; writes go to a temporary name next to the file, are synced, and then renamed."""

    def read_bytes(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def open_to_read(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def write_bytes(self, path: str, data: bytes) -> None:
        with self.open_to_write(path) as file:
            file.write(data)

    @contextlib.contextmanager
    def open_to_write(self, path: str) -> Iterator[BinaryIO]:
        if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout or a pipe cannot be replaced
            with open(path, "wb") as device:
                yield device
            return
        path = os.path.realpath(path)  # a symbolic link stays; the file that it names is replaced
        directory = os.path.dirname(path)
        os.makedirs(directory, exist_ok=True)
        temporary = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to report
                os.unlink(temporary)
            raise
        _sync(directory)  # the rename survives a crash only once the directory is on the disk

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def glob(self, pattern: str) -> list[StoredFile]:
        if os.path.isfile(pattern):  # a name may have brackets or stars
            return [_stored(pattern)]
        directory, rest = _literal(pattern)
        if "**" in rest:
            names = list(filter(compiled(rest).fullmatch, self.list_files(directory.rstrip("/") or ".")))
        else:
            names = glob.glob(rest, root_dir=directory or None, include_hidden=True)
        paths = sorted(os.path.join(directory, name) for name in names)
        return [_stored(path) for path in paths if os.path.isfile(path)]

    def list_files(self, root: str) -> dict[str, StoredFile]:
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
        files = {}
        for path in sorted(paths):
            with contextlib.suppress(FileNotFoundError):  # removed since the directory was read
                files[path[len(root) + 1 :]] = _stored(path)
        return files

    def list_directories(self, root: str) -> list[str]:
        try:
            with os.scandir(root) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def remove(self, path: str) -> None:
        if not os.path.lexists(path):
            return
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        # A rename takes the whole tree away at once; what a killed removal left is removed too.
        removed = f"{path}.removed"
        shutil.rmtree(removed, ignore_errors=True)
        os.rename(path, removed)
        shutil.rmtree(removed)

    def make_directory(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def copy(self, source: str, destination: str) -> None:
        with open(source, "rb") as original, self.open_to_write(destination) as file:
            shutil.copyfileobj(original, file, _BLOCK_BYTES)


def _literal(pattern: str) -> tuple[str, str]:
    """Split a pattern into directories that exist by these very names, and the rest."""
    depth = 0
    while (end := pattern.find("/", depth)) >= 0 and os.path.isdir(pattern[: end + 1]):
        depth = end + 1
    return pattern[:depth], pattern[depth:]


def _stored(path: str) -> StoredFile:
    status = os.stat(path)
    return StoredFile(path, status.st_size, str(status.st_mtime_ns))


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
