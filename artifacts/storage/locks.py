"""A lock per output: a second run is refused, and the lock of a killed run expires by itself."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator

from artifacts.storage import is_remote, storage_of
from configs.errors import UserError

_SUFFIX = ".lock"
_RENEW_S, _EXPIRE_S = 60.0, 300.0  # a lease on gs:// is renewed this often, and expires this long after


@contextlib.contextmanager
def claim(root: str, patience_s: float = 0.0) -> Iterator[None]:
    """Lock an output directory for this process, by `ROOT.lock` next to it, and wait up to `patience_s` for it.

    On a disk the operating system releases the lock when the process ends, however it ends. On gs:// the lock is a
    lease: an object that the run keeps renewing, and that another run takes over after five minutes without renewal.
    Raise UserError if another run has the lock, or the directory cannot be written.
    """
    storage_of(root)  # refuses a URL of another service
    path, deadline = root.rstrip("/") + _SUFFIX, time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(_lease(path, root) if is_remote(root) else _file(path, root))
                break
            except UserError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)
        yield


def _refused(root: str, by: str) -> UserError:
    return UserError(f"{root}: another run is at work on it ({by}); wait for it, or name another directory")


@contextlib.contextmanager
def _file(path: str, root: str) -> Iterator[None]:
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        descriptor = _locked(path)
    except BlockingIOError:
        raise _refused(root, f"{path} is locked") from None
    except OSError as error:
        raise UserError(f"{root} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        os.unlink(path)
        os.close(descriptor)


def _locked(path: str) -> int:
    """Open and lock a file, and return its descriptor; raise BlockingIOError if another process has the lock."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last process may have removed the file between our opening and our locking it.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def _lease(path: str, root: str) -> Iterator[None]:
    """Take a lease on gs://, where only the service's preconditions decide between two runs at once."""
    from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    blob = storage.Client().bucket(bucket).blob(name)
    holder = f"{socket.gethostname()}, process {os.getpid()}"
    stop = threading.Event()

    def renew(generation: int) -> None:
        blob.upload_from_string(holder, content_type="text/plain", if_generation_match=generation)

    def keep_renewing() -> None:
        while not stop.wait(_RENEW_S):
            with contextlib.suppress(GoogleAPICallError, OSError):  # the next renewal tries again
                renew(blob.generation)

    try:
        exists = blob.exists()
        if exists:
            blob.reload()
            age = datetime.datetime.now(datetime.UTC) - blob.updated
            if age.total_seconds() < _EXPIRE_S:
                raise _refused(root, blob.download_as_text())
        renew(blob.generation if exists else 0)
    except PreconditionFailed:
        raise _refused(root, "it has just started") from None
    except GoogleAPICallError as error:
        raise UserError(f"{root} cannot be written: {error.message}") from error
    renewal = threading.Thread(target=keep_renewing, name="lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with contextlib.suppress(GoogleAPICallError):  # taken over or gone: not ours to remove
            blob.delete(if_generation_match=blob.generation)
