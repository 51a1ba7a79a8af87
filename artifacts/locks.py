"""One run at a time on an output: a second one is refused, and what a killed one held lapses by itself."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator

from configs.errors import UserError

_SUFFIX = ".lock"
_BEAT, _LAPSE = 60.0, 300.0  # seconds: how often a lease on gs:// is renewed, and when it counts as left behind


@contextlib.contextmanager
def claim(root: str, patience_s: float = 0.0) -> Iterator[None]:
    """Holds an output directory for this process, by `ROOT.lock` beside it; waits for it as long as `patience_s`.

    On a disk the operating system holds the lock, and drops it with the process, however that ends. On gs:// it is an
    object that the run keeps renewing; one that nobody renewed for five minutes is taken over.

    Raises:
        UserError: another run is at work on it, or its place cannot be written.
    """
    path, deadline = root.rstrip("/") + _SUFFIX, time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(_lease(path, root) if "://" in root else _file(path, root))
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
    """The descriptor of the file, locked.

    Raises:
        BlockingIOError: another process has it.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our opening and our locking it.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def _lease(path: str, root: str) -> Iterator[None]:
    """A lock on gs://, where only the storage's own precondition decides between two that come at once."""
    from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    blob = storage.Client().bucket(bucket).blob(name)
    holder = f"{socket.gethostname()}, process {os.getpid()}"
    stop = threading.Event()

    def renew(generation: int) -> None:
        blob.upload_from_string(holder, content_type="text/plain", if_generation_match=generation)

    def keep() -> None:
        while not stop.wait(_BEAT):
            with contextlib.suppress(GoogleAPICallError, OSError):  # the next beat tries again
                renew(blob.generation)

    try:
        found = blob.exists()
        if found:
            blob.reload()
            age = datetime.datetime.now(datetime.UTC) - blob.updated
            if age.total_seconds() < _LAPSE:
                raise _refused(root, blob.download_as_text())
        renew(blob.generation if found else 0)
    except PreconditionFailed:
        raise _refused(root, "it began this moment") from None
    except GoogleAPICallError as error:
        raise UserError(f"{root} cannot be written: {error.message}") from error
    beat = threading.Thread(target=keep, name="lease", daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(GoogleAPICallError):  # taken over, or gone: not ours to remove
            blob.delete(if_generation_match=blob.generation)
