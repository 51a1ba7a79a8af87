"""Versions of a model on disk as TensorFlow Serving lays them out: DIRECTORY/NAME/VERSION, local or gs://.

A version is whole if every file in its `manifest.json` is (`serving.publish` writes that last), or, for a SavedModel
that was copied by hand, if none of its files is missing.
"""

from __future__ import annotations

from typing import Any

from artifacts import checksums, manifests, storage
from artifacts.manifests import MANIFEST
from artifacts.paths import join
from configs.errors import UserError
from serving.errors import UnusableError

KIND = "served model"
GRAPH = "saved_model.pb"
_INDEX = "variables/variables.index"

Stamp = tuple[storage.StoredFile, ...]


def numbers(directory: str, name: str) -> dict[int, str]:
    """Return the directory of each version by its number, the highest first; other names are ignored.

    Raises:
        OSError: the storage does not answer.
    """
    root = join(directory, name)
    # The longest form of a number first, so that `7` wins over `007`.
    entries = sorted(
        (name for name in storage.list_directories(root) if name.isascii() and name.isdigit()), key=len, reverse=True
    )
    return dict(sorted(((int(entry), join(root, entry)) for entry in entries), reverse=True))


def stamp(path: str) -> Stamp:
    """Return what differs after every change of a version: names, sizes and times of its files."""
    return tuple(storage.list_files(path).values())


def check(path: str) -> dict[str, Any]:
    """Check that no file of a version is missing or damaged, and return its manifest, {} if it has none.

    Raises:
        UnusableError: the version is incomplete or damaged; the message names the file.
    """
    files = storage.list_files(path)
    if not files:
        raise UnusableError("it is empty")
    if MANIFEST not in files:
        for name in (GRAPH, _INDEX):
            if name not in files:
                raise UnusableError(f"it has no {name}; is it half copied? (python -m serving.publish copies whole)")
        return {}
    content = _manifest(join(path, MANIFEST))
    for problem in checksums.problems(path, manifests.described(content)):
        raise UnusableError(f"its {problem}")
    return content


def _manifest(path: str) -> dict[str, Any]:
    try:
        content = manifests.parse(storage.read_bytes(path), KIND, path)
    except UserError as error:
        raise UnusableError(str(error)) from error
    if not isinstance(content.get("files"), dict) or GRAPH not in content["files"]:
        raise UnusableError(f"its {MANIFEST} lists no {GRAPH}")
    return content
