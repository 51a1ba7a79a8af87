"""Publishing an output: it appears whole or not at all.

A job writes to `ROOT.partial`, which is then moved to `ROOT`. On a local disk the move is an atomic rename of the
directory; the output that was there is first renamed to `ROOT.replaced`, and comes back if the run was killed between
the two. On gs:// the objects are copied, the manifest last, and readers refuse a root without a manifest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from artifacts import storage
from artifacts.manifests.base import MANIFEST, noun, refuse_other_kind
from artifacts.paths import join
from artifacts.storage import is_remote, locks
from configs.errors import UserError, recognise

_REPLACED = ".replaced"


@contextlib.contextmanager
def staged(root: str, kind: str, replace: bool) -> Iterator[str]:
    """Lock an output and yield a directory to write it to; publish that directory at the end, or remove it on an error.

    Raise UserError if `root` is not empty, unless `replace` is set and it contains an output of this kind, or if
    another run is at work on it; MachineError if the disk is full or fails, or memory is used up.
    """
    root = target_of(root)
    with locks.claim(root):
        _recover(root)
        refuse_occupied(root, kind, replace)
        staging = f"{root}.partial"
        storage.remove(staging)
        try:
            storage.make_directory(staging)
        except OSError as error:
            raise UserError(f"{root} cannot be written: {error.strerror}") from error
        try:
            yield staging
            publish(staging, root)
        except BaseException as error:
            storage.remove(staging)
            if not isinstance(error, UserError) and (machine_error := recognise(error, root)):
                raise machine_error from error
            raise


def target_of(path: str) -> str:
    """Return the place of an output: a symbolic link stays, and what it names is written."""
    path = path.rstrip("/")
    if not path:
        raise UserError("/ cannot be an output; name a directory below it")
    target = os.path.realpath(path) if os.path.islink(path) else path
    if os.path.islink(target):
        raise UserError(f"{path} cannot be written: {os.strerror(errno.ELOOP)}")
    return target


def refuse_wildcards(path: str) -> None:
    """Raise UserError if TensorFlow cannot read a SavedModel below a path, because it takes the path for a pattern."""
    if re.search(r"[*?\[\\]", path):
        raise UserError(f"{path}: TensorFlow cannot read below a name with *, ?, [ or \\; name another directory")


def check_file(path: str) -> None:
    """Raise UserError, before the work for a file, if its path names a directory, or no file can be made there."""
    if storage.is_directory(path) or path.endswith("/"):
        raise UserError(f"{path} is a directory; name a file")
    if is_remote(path):
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(path)
        if os.path.isfile(path) or not os.path.exists(path):
            probe = f"{os.path.realpath(path)}.{os.getpid()}"
            storage.write_bytes(probe, b"")
            storage.remove(probe)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def check_output(path: str, kind: str, replace: bool) -> str | None:
    """Return a line on an output that needs `--replace`, or None; nothing is written, and gs:// is not asked.

    Raise UserError if a run could not write it at all.
    """
    refuse_wildcards(path)
    root = target_of(path)
    storage.storage_of(root)
    if is_remote(root):
        return None
    parent = os.path.dirname(os.path.abspath(root))
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(f"{root}.partial")
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        os.stat(parent)
    except OSError as error:
        raise UserError(f"{root} cannot be written: {error.strerror}") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{root} cannot be written: {os.strerror(errno.EACCES)}")
    refuse_occupied(root, kind, replace=True)
    is_occupied = not replace and storage.list_files(root)
    return f"{root} is not empty: a run needs --replace, or another directory" if is_occupied else None


def publish(staging: str, root: str) -> None:
    """Move a finished output to its root and remove what was there."""
    if not is_remote(root):
        aside = f"{root}{_REPLACED}"
        if os.path.lexists(root):
            os.rename(root, aside)
        os.rename(staging, root)
        storage.remove(aside)
        return
    storage.remove(join(root, MANIFEST))  # first: what is half removed is not whole
    storage.remove(root)
    for name in sorted(storage.list_files(staging), key=lambda name: (name == MANIFEST, name)):
        storage.copy(join(staging, name), join(root, name))
    storage.remove(staging)  # last: until everything is copied, this is the only whole copy


def _recover(root: str) -> None:
    """Restore, or remove, the output that a killed run had renamed."""
    aside = f"{root}{_REPLACED}"
    if is_remote(root) or not os.path.lexists(aside):
        return
    if os.path.lexists(root):
        storage.remove(aside)
    else:
        os.rename(aside, root)


def refuse_occupied(root: str, kind: str, replace: bool) -> None:
    """Raise UserError if an output of a kind may not be written to a root: a file, or a directory that is in use."""
    if not is_remote(root) and os.path.exists(root) and not os.path.isdir(root):
        raise UserError(f"{root} is a file; name a directory for the {noun(kind)}")
    if not storage.list_files(root):
        return
    if not replace:
        raise UserError(f"{root} is not empty; name another directory or pass --replace")
    text = storage.read_if_exists(join(root, MANIFEST))
    if text is None:
        raise UserError(f"{root} contains files but no {noun(kind)}; --replace would lose them, remove them by hand")
    refuse_other_kind(root, text, kind)
