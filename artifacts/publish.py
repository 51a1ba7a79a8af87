"""An output appears whole or not at all: written beside its place, then moved there.

On a local disk the move is a rename of the directory; what was there steps aside first, as `ROOT.replaced`, and comes
back where a run was killed between the two. On gs:// the objects are copied, the manifest last, and readers refuse a
root without a manifest.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from artifacts import locks, manifests
from artifacts.paths import join
from artifacts.storage import open_to_read
from configs import faults
from configs.errors import UserError

MANIFEST = "manifest.json"
_REPLACED = ".replaced"


@contextmanager
def staged(root: str, kind: str, replace: bool) -> Iterator[str]:
    """Gives a root to write to; moves it to `root` at the end, or removes it where an error comes.

    Args:
        root: where the output shall be.
        kind: the kind its manifest names.
        replace: whether an output of this kind that is there already may be replaced.

    Raises:
        UserError: `root` is not empty, and may not be replaced; or another run is at work on it. MachineError: the disk
            is full, or the like.
    """
    root = root.rstrip("/")
    with locks.claim(root):
        _recover(root)
        refuse_occupied(root, kind, replace)
        staging = f"{root}.partial"
        remove(staging)
        try:
            make_directory(staging)
        except OSError as error:
            raise UserError(f"{root} cannot be written: {error.strerror}") from error
        try:
            yield staging
            publish(staging, root)
        except BaseException as error:
            remove(staging)
            if not isinstance(error, UserError) and (said := faults.recognise(error, root)):
                raise said from error
            raise


def publish(staging: str, root: str) -> None:
    """Moves a finished output to its place, removing what was there."""
    if not is_remote(root):
        aside = f"{root}{_REPLACED}"
        if os.path.lexists(root):
            os.rename(root, aside)
        os.rename(staging, root)
        remove(aside)
        return
    path = join(root, MANIFEST)
    if FileSystems.exists(path):
        FileSystems.delete([path])  # first: what is half removed is not whole
    remove(root)
    names = [path[len(staging) + 1 :] for path in list_files(staging)]
    names.sort(key=lambda name: name == MANIFEST)
    for name in names:
        FileSystems.copy([join(staging, name)], [join(root, name)])
    remove(staging)  # last: until all is there, this is the only whole copy


def _recover(root: str) -> None:
    """Brings back, or removes, what a killed run had put aside."""
    aside = f"{root}{_REPLACED}"
    if is_remote(root) or not os.path.lexists(aside):
        return
    if os.path.lexists(root):
        remove(aside)
    else:
        os.rename(aside, root)


def read_manifest(path: str, kind: str) -> dict:
    """Reads the manifest of a finished output.

    Raises:
        UserError: there is none, or this code cannot read what it stands for.
    """
    if not FileSystems.exists(path):
        raise UserError(f"{path.removesuffix('/' + MANIFEST)} is no finished {kind} (no {MANIFEST} in it)")
    with open_to_read(path) as file:
        return manifests.parse(file.read(), kind, path)


def make_directory(root: str) -> None:
    """Makes a directory where the storage has such a thing."""
    if not is_remote(root):
        os.makedirs(root, exist_ok=True)


def write_file(path: str, data: bytes) -> None:
    """Writes a small file whole, as it is."""
    if not is_remote(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(data)


def remove(root: str) -> None:
    """Removes a directory with all that is in it, if it is there."""
    if is_remote(root):
        paths = _objects(root)
        if paths:
            FileSystems.delete(paths)
    elif os.path.lexists(root):
        FileSystems.delete([root])


def remove_leftovers(root: str) -> None:
    """Removes the temporary directories that Beam's own sinks forget where a bundle was done twice."""
    if is_remote(root):
        (match,) = FileSystems.match([join(root, "beam-temp-**")])
        strays = [metadata.path for metadata in match.metadata_list]
    else:
        strays = glob.glob(join(glob.escape(root), "beam-temp-*"))
    if strays:
        FileSystems.delete(strays)


def list_files(root: str) -> list[str]:
    """All files below a root."""
    if is_remote(root):
        return [path for path in _objects(root) if not path.endswith("/")]
    return [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]


def _objects(root: str) -> list[str]:
    """All that is stored below a root: the files, and the empty objects by which TensorFlow marks a directory."""
    (match,) = FileSystems.match([join(root, "**")])
    return [metadata.path for metadata in match.metadata_list]


def is_remote(path: str) -> bool:
    return "://" in path


def refuse_occupied(root: str, kind: str, replace: bool) -> None:
    """Looks whether an output of a kind may come to a place.

    Raises:
        UserError: it may not; saying why.
    """
    if not is_remote(root) and os.path.exists(root) and not os.path.isdir(root):
        raise UserError(f"{root} is a file; name a directory for the {kind}")
    if not list_files(root):
        return
    if not replace:
        raise UserError(f"{root} is not empty; name another directory or pass --replace")
    path = join(root, MANIFEST)
    if not FileSystems.exists(path):
        raise UserError(f"{root} holds files but no {kind}; --replace would lose them, remove them by hand")
    with open_to_read(path) as file:
        found = manifests.kind_of(file.read())
    if found != kind:
        raise UserError(f"{root} holds {found or 'something else'}, no {kind}; name another directory")
