"""Objects in Google Cloud Storage, through Google's own client.

The client honours STORAGE_EMULATOR_HOST. Uploads are atomic in the service itself: an object appears when it is whole.
"""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, cast

from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.fileio import BlobReader
from google.cloud.storage.retry import DEFAULT_RETRY

from artifacts.storage.google_cloud import advice
from artifacts.storage.protocol import StoredFile, compiled, fixed_part

_READ_BYTES = 1 << 22  # asked for at once
_MEMORY_BYTES = 1 << 26  # of a file being written, before it waits on the disk
_MANIFEST = "manifest.json"


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turn the client's errors into those of `open`: FileNotFoundError, or another OSError of one line."""
    try:
        yield
    except NotFound:
        raise FileNotFoundError(path) from None
    except (GoogleAPICallError, GoogleAuthError, RetryError) as error:
        raise OSError(f"{path}: {advice(error)}") from error


class _Reader(BlobReader):
    """An object as a seekable file, whose errors are those of a local file."""

    def read(self, size: int | None = -1) -> bytes:
        with _errors(self._blob.name):
            return super().read(-1 if size is None else size)


class GoogleStorage:
    """gs:// URLs. A directory exists as long as an object's name begins with its path."""

    def read_bytes(self, path: str) -> bytes:
        with _errors(path):
            return _blob(path).download_as_bytes(raw_download=True, retry=DEFAULT_RETRY)

    def open_to_read(self, path: str) -> BinaryIO:
        blob = _blob(path)
        with _errors(path):
            blob.reload(retry=DEFAULT_RETRY)  # fixes the generation: a file that is replaced is still read as one
        return cast(BinaryIO, _Reader(blob, chunk_size=_READ_BYTES, raw_download=True))

    def write_bytes(self, path: str, data: bytes) -> None:
        with _errors(path):
            _blob(path).upload_from_string(data, retry=DEFAULT_RETRY)

    @contextlib.contextmanager
    def open_to_write(self, path: str) -> Iterator[BinaryIO]:
        with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as file:
            yield cast(BinaryIO, file)
            with _errors(path):
                _blob(path).upload_from_file(file, rewind=True, retry=DEFAULT_RETRY)

    def exists(self, path: str) -> bool:
        with _errors(path):
            if _blob(path).exists(retry=DEFAULT_RETRY):
                return True
        return self.is_directory(path)

    def is_directory(self, path: str) -> bool:
        return any(True for _ in _list(path.rstrip("/") + "/", max_results=1))

    def glob(self, pattern: str) -> list[StoredFile]:
        files = map(_stored, _list(fixed_part(pattern)))
        matches = compiled(pattern).fullmatch
        return sorted(file for file in files if matches(file.path))

    def list_files(self, root: str) -> dict[str, StoredFile]:
        files = sorted(_stored(blob) for blob in _list(root + "/"))
        # TensorFlow marks a directory with an empty object whose name ends in a slash.
        return {file.path[len(root) + 1 :]: file for file in files if not file.path.endswith("/")}

    def list_directories(self, root: str) -> list[str]:
        names = (_stored(blob).path[len(root) + 1 :] for blob in _list(root + "/"))
        return sorted({name.split("/")[0] for name in names if "/" in name})

    def remove(self, path: str) -> None:
        with _errors(path), contextlib.suppress(NotFound):
            _blob(path).delete(retry=DEFAULT_RETRY)
        for blob in sorted(_list(path + "/"), key=lambda blob: not blob.name.endswith(_MANIFEST)):
            with _errors(path), contextlib.suppress(NotFound):
                blob.delete(retry=DEFAULT_RETRY)

    def make_directory(self, path: str) -> None:
        """Do nothing: gs:// has no directories."""

    def copy(self, source: str, destination: str) -> None:
        original, blob = _blob(source), _blob(destination)
        with _errors(source):
            token, _, _ = blob.rewrite(original, retry=DEFAULT_RETRY)
            while token:  # large objects take several calls
                token, _, _ = blob.rewrite(original, token=token, retry=DEFAULT_RETRY)


def _list(prefix: str, max_results: int | None = None) -> Iterator[Any]:
    bucket, _, name = prefix.removeprefix("gs://").partition("/")
    with _errors(prefix):
        yield from _client().list_blobs(bucket, prefix=name, max_results=max_results, retry=DEFAULT_RETRY)


def _stored(blob: Any) -> StoredFile:
    path = f"gs://{blob.bucket.name}/{blob.name}"
    crc32c = base64.b64decode(blob.crc32c).hex() if blob.crc32c else None
    return StoredFile(path, blob.size, str(blob.generation), crc32c)


def _blob(path: str) -> Any:
    bucket, _, name = path.removeprefix("gs://").partition("/")
    return _client().bucket(bucket).blob(name)


def _client() -> Any:
    # A client's connections are not for a forked process, nor for another emulator.
    return _client_of(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST"))


@lru_cache(maxsize=2)
def _client_of(process: int, emulator: str | None) -> Any:
    return storage.Client()
