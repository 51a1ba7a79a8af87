"""Versions on gs://, copied to this machine: their tables are mapped, which only files on a disk can be."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from artifacts import storage
from artifacts.paths import join
from serving.models import versions

_KEPT = 2  # versions of a model: the live one, and the one that takes its place
_PARTS = ("assets/", "assets.extra/")


def of(path: str, root: str | None = None) -> str:
    """Return the directory with the tables of a version; the workers of a machine share one copy.

    root: where copies are kept; the user's own folder for temporary files by default. Raise OSError.
    """
    folder = Path(root or Path(tempfile.gettempdir(), f"wals-versions-{os.getuid()}"))
    parent, _, number = path.rpartition("/")
    model = folder / hashlib.sha256(parent.encode()).hexdigest()[:16]
    model.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = hashlib.sha256(repr(versions.stamp(path)).encode()).hexdigest()[:16]
    copy = model / f"{number}-{state}"
    with open(model / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            _copy(path, copy)
        os.utime(copy)
        _remove_old(model)
    return str(copy)


def _copy(path: str, copy: Path) -> None:
    staging = copy.with_name(f"{copy.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    for name in storage.list_files(path):
        if name.startswith(_PARTS):
            storage.copy(join(path, name), str(staging / name))
    staging.rename(copy)


def _remove_old(model: Path) -> None:
    """Remove the copies of versions before the newest two; what is mapped stays until its model goes."""
    copies = sorted((entry for entry in model.iterdir() if entry.is_dir()), key=lambda entry: entry.stat().st_mtime)
    for old in copies[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
