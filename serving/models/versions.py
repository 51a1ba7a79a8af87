"""Versions of a model on disk, as TensorFlow Serving lays them out: DIRECTORY/NAME/VERSION, local or gs://.

A version is complete if all files of its `manifest.json` are there (`serving.publish` writes that last). A SavedModel
that was copied by hand has no manifest; it is complete if its graph and variables are there.
"""

from __future__ import annotations

from artifacts import checksums, storage
from artifacts.manifests import MANIFEST, ServedVersionManifest
from artifacts.paths import join
from configs.errors import UserError
from serving.errors import UnusableError

GRAPH = "saved_model.pb"
_INDEX = "variables/variables.index"

Stamp = tuple[storage.StoredFile, ...]


def paths(directory: str, name: str) -> dict[int, str]:
    """Return the directory of each version by its number, the highest first; other names are ignored; raise OSError."""
    root = join(directory, name)
    numbers = [entry for entry in storage.list_directories(root) if entry.isascii() and entry.isdigit()]
    # The longest form of a number comes first, so that `7` wins over `007`.
    by_number = {int(entry): join(root, entry) for entry in sorted(numbers, key=len, reverse=True)}
    return dict(sorted(by_number.items(), reverse=True))


def stamp(path: str) -> Stamp:
    """Return a value that differs after every change of a version: names, sizes and times of its files."""
    return tuple(storage.list_files(path).values())


def check(path: str) -> ServedVersionManifest | None:
    """Raise UnusableError if a file of a version is missing or damaged; return its manifest, None if it has none."""
    files = storage.list_files(path)
    if not files:
        raise UnusableError("it is empty")
    if MANIFEST not in files:
        for name in (GRAPH, _INDEX):
            if name not in files:
                raise UnusableError(f"it has no {name}; publish it with wals publish, which copies all files")
        return None
    try:
        manifest = ServedVersionManifest.read(join(path, MANIFEST))
    except UserError as error:
        raise UnusableError(str(error)) from error
    if GRAPH not in manifest.files:
        raise UnusableError(f"its {MANIFEST} lists no {GRAPH}")
    for problem in checksums.problems(path, manifest.files):
        raise UnusableError(f"its {problem}")
    return manifest
