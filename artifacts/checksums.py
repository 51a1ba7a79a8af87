"""Checksums of files (CRC-32C) and digests of JSON values (SHA-256)."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import google_crc32c
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from artifacts import storage

_BLOCK_BYTES = 1 << 22


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes."""
    return google_crc32c.value(data)


class SummedFile(io.RawIOBase):
    """A file that passes its bytes on to another one and computes their checksum; it does not close the other one."""

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file, self._crc, self._bytes = file, google_crc32c.Checksum(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._file.write(data)
        self._crc.update(data)
        self._bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self._bytes

    def hexdigest(self) -> str:
        """Return the CRC-32C of all bytes so far, 8 hexadecimal digits."""
        return self._crc.hexdigest().decode()


class FileDescription(BaseModel):
    """A file in a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    crc32c: str  # 8 hexadecimal digits
    records: int | None = None  # rows, ids or answers in it, if it has such
    interactions: int | None = None  # entries of all its rows

    @model_serializer(mode="wrap")
    def _without_nulls(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


def describe(path: str, **counts: int) -> FileDescription:
    """Return size and checksum of a file, read in blocks; counts: `records`, `interactions`; raise OSError."""
    crc, size = google_crc32c.Checksum(), 0
    with storage.open_to_read(path) as file:
        while block := file.read(_BLOCK_BYTES):
            crc.update(block)
            size += len(block)
    return FileDescription(bytes=size, crc32c=crc.hexdigest().decode(), **counts)


def describe_bytes(data: bytes, **counts: int) -> FileDescription:
    """Return size and checksum of a file that contains these bytes; counts: `records`, `interactions`."""
    return FileDescription(bytes=len(data), crc32c=f"{crc32c(data):08x}", **counts)


def describe_all(root: str) -> dict[str, FileDescription]:
    """Return the descriptions of all files below a directory, by their names relative to it."""
    return {name: describe(file.path) for name, file in storage.list_files(root).items()}


def problems(root: str, files: Mapping[str, FileDescription], check_bytes: bool = True) -> Iterator[str]:
    """Yield what is wrong with the files below a directory, one line per file that is missing or damaged.

    Sizes are always compared; checksums, if `check_bytes`, on gs:// those of the service, so nothing is downloaded.
    """
    listed = storage.list_files(root)
    for name, expected in sorted(files.items()):
        file = listed.get(name)
        if file is None:
            yield f"{name} is missing"
        elif file.bytes != expected.bytes:
            yield f"{name} has {file.bytes} bytes where the manifest has {expected.bytes}"
        elif check_bytes and (file.crc32c or describe(file.path).crc32c) != expected.crc32c:
            yield f"{name} is damaged: its checksum is not the manifest's"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value, 64 hexadecimal digits; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
