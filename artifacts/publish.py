"""Publishing an output: it appears whole or not at all.

A job writes to `ROOT.partial`, which is then moved to `ROOT`. On a local disk the move is an atomic rename of the
directory; the output that was there is first renamed to `ROOT.replaced`, and comes back if the run was killed between
the two. On gs:// the objects are copied, the manifest last, and readers refuse a root without a manifest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from artifacts import storage
from artifacts.manifests.base import MANIFEST, noun, refuse_other_kind
from artifacts.paths import join
from artifacts.storage import is_remote, locks
from configs.errors import UserError, recognise

_REPLACED = ".replaced"
_LEFTOVERS = "beam-temp-"  # directories that Beam's own sinks forget if a bundle was retried


@contextlib.contextmanager
def staged(root: str, kind: str, replace: bool) -> Iterator[str]:
    """Lock an output and yield a directory to write it to; publish that directory at the end, or remove it on an error.

    Args:
        root: where the output goes.
        kind: the kind that its manifest names.
        replace: whether an earlier output of this kind may be replaced.

    Raises:
        UserError: `root` is not empty and may not be replaced, or another run is at work on it.
        MachineError: the disk is full or fails, or memory is used up.
    """
    root = root.rstrip("/")
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


def remove_leftovers(root: str) -> None:
    """Remove the temporary directories that Beam's own sinks forget if a bundle was retried."""
    for name in storage.list_directories(root):
        if name.startswith(_LEFTOVERS):
            storage.remove(join(root, name))


def refuse_occupied(root: str, kind: str, replace: bool) -> None:
    """Check that an output of a kind may be written to a root.

    Raises:
        UserError: the root is a file, or is not empty and may not be replaced.
    """
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
