"""Files of a night, on a disk or on gs:// alike, without Beam or TensorFlow."""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import glob as local_glob
import os
import shutil
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import google_crc32c

_AT_ONCE = 1 << 22  # bytes


class Found(NamedTuple):
    """A file: where, how large, and what changes when it does (a time of change, or a generation)."""

    path: str
    bytes: int
    changed: str


def is_remote(path: str) -> bool:
    return path.startswith("gs://")


def read(path: str) -> bytes:
    """The whole file.

    Raises:
        FileNotFoundError: there is none.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read()
    from google.api_core.exceptions import NotFound

    try:
        return _blob(path).download_as_bytes()
    except NotFound:
        raise FileNotFoundError(path) from None


def read_if_there(path: str) -> bytes | None:
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(path: str, data: bytes) -> None:
    """Writes a file whole or not at all: readers see the old one or the new one, and a crash keeps one of the two."""
    if is_remote(path):
        _blob(path).upload_from_string(data)
        return
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    beside = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    descriptor = os.open(folder, os.O_RDONLY)  # the rename itself is on the disk only when the directory is
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folders(root: str) -> list[str]:
    """Names of the directories directly below, sorted; none where the root is not there."""
    if not is_remote(root):
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        return []
    bucket, prefix = _bucket(root.rstrip("/") + "/")
    blobs = bucket.list_blobs(prefix=prefix)
    return sorted({rest.split("/")[0] for blob in blobs if "/" in (rest := blob.name[len(prefix) :])})


def glob(pattern: str) -> list[Found]:
    """The files that match, sorted by path; `*` and `?` stay within one directory."""
    if not is_remote(pattern):
        paths = sorted(path for path in local_glob.glob(pattern) if os.path.isfile(path))
        return [Found(path, status.st_size, str(status.st_mtime_ns)) for path in paths for status in [os.stat(path)]]
    bucket, wanted = _bucket(pattern)
    fixed = wanted[: min([wanted.index(mark) for mark in "*?[" if mark in wanted] or [len(wanted)])]
    return sorted(
        Found(f"gs://{bucket.name}/{blob.name}", blob.size, str(blob.generation))
        for blob in bucket.list_blobs(prefix=fixed)
        if fnmatch.fnmatchcase(blob.name, wanted) and blob.name.count("/") == wanted.count("/")
    )


def remove(root: str) -> None:
    """Removes a directory with all that is in it, its manifest first: what is half removed is not whole."""
    if not is_remote(root):
        if os.path.isdir(root):
            aside = f"{root}.removed"
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(root, aside)
            shutil.rmtree(aside)
        return
    bucket, prefix = _bucket(root.rstrip("/") + "/")
    for blob in sorted(bucket.list_blobs(prefix=prefix), key=lambda blob: not blob.name.endswith("manifest.json")):
        blob.delete()


def problems(root: str, described: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What is wrong with the files below a root, by their bytes and CRC-32C (hexadecimal)."""
    if is_remote(root):
        bucket, prefix = _bucket(root.rstrip("/") + "/")
        actual = {blob.name[len(prefix) :]: _of_blob(blob) for blob in bucket.list_blobs(prefix=prefix)}
    else:
        actual = {name: _of_file(path) for name in described if os.path.isfile(path := os.path.join(root, name))}
    for name, file in sorted(described.items()):
        if name not in actual:
            yield f"{name} is missing"
        elif actual[name] != (file["bytes"], file["crc32c"]):
            yield f"{name} is damaged"


def _of_file(path: str) -> tuple[int, str]:
    size, checksum = 0, google_crc32c.Checksum()
    with open(path, "rb") as file:
        while piece := file.read(_AT_ONCE):
            size += len(piece)
            checksum.update(piece)
    return size, checksum.hexdigest().decode()


def _of_blob(blob: Any) -> tuple[int, str]:
    return blob.size, base64.b64decode(blob.crc32c).hex()  # the storage's own: nothing is downloaded


def _blob(path: str) -> Any:
    bucket, name = _bucket(path)
    return bucket.blob(name)


def _bucket(path: str) -> tuple[Any, str]:
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    return storage.Client().bucket(bucket), name
