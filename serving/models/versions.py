"""Versions of a model on disk as TensorFlow Serving lays them out: DIRECTORY/NAME/VERSION, local or gs://.

A version is whole when its `manifest.json` says so (`serving.publish` writes it last), or, for a SavedModel that was
copied there by hand, when nothing of it is missing.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import tensorflow as tf

from artifacts import manifests
from artifacts.paths import join
from configs.errors import UserError
from serving.errors import UnusableError

KIND = "served model"
MANIFEST = "manifest.json"
GRAPH = "saved_model.pb"
_INDEX = "variables/variables.index"

Stamp = tuple[tuple[str, int, int], ...]


def numbers(directory: str, name: str) -> dict[int, str]:
    """Version -> its directory, the highest first; whatever is not named by a number is none.

    Raises:
        OSError: the storage does not answer.
    """
    root = join(directory, name)
    try:
        names = [entry.rstrip("/") for entry in tf.io.gfile.listdir(root)] if tf.io.gfile.isdir(root) else []
    except tf.errors.OpError as error:
        raise OSError(f"{root} cannot be read: {error.message}") from error
    # The longest way of writing a number first, so that `7` wins over `007`.
    entries = sorted((name for name in names if name.isascii() and name.isdigit()), key=len, reverse=True)
    found = {int(entry): join(root, entry) for entry in entries}
    return dict(sorted(found.items(), reverse=True))


def files(path: str) -> list[str]:
    """Names of all files below a directory."""
    start = len(path.rstrip("/")) + 1
    return sorted(join(folder, name)[start:] for folder, _, names in tf.io.gfile.walk(path) for name in names)


def stamp(path: str) -> Stamp:
    """What changes when a version does: names, bytes and times of its files."""
    found = []
    for name in files(path):
        try:
            about = tf.io.gfile.stat(join(path, name))
        except tf.errors.NotFoundError:  # moved away meanwhile
            continue
        found.append((name, about.length, about.mtime_nsec))
    return tuple(found)


def describe(path: str) -> dict[str, Any]:
    """Bytes and CRC-32C (hexadecimal) of a file."""
    size, checksum = 0, google_crc32c.Checksum()
    with tf.io.gfile.GFile(path, "rb") as file:
        while piece := file.read(1 << 22):
            size += len(piece)
            checksum.update(piece)
    return {"bytes": size, "crc32c": checksum.hexdigest().decode()}


def check(path: str) -> dict[str, Any]:
    """Makes sure that nothing of a version is missing or damaged; gives its manifest, {} where it has none.

    Raises:
        UnusableError: what is wrong with it.
    """
    found = files(path)
    if not found:
        raise UnusableError("it is empty")
    if MANIFEST not in found:
        for name in (GRAPH, _INDEX):
            if name not in found:
                raise UnusableError(f"it has no {name}; is it half copied? (python -m serving.publish copies whole)")
        return {}
    content = _manifest(join(path, MANIFEST))
    for name, expected in content["files"].items():
        if name not in found:
            raise UnusableError(f"its {name} is missing")
        if describe(join(path, name)) != expected:
            raise UnusableError(f"its {name} is damaged or half copied")
    return content


def _manifest(path: str) -> dict[str, Any]:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = manifests.parse(file.read(), KIND, path)
    except UserError as error:
        raise UnusableError(str(error)) from error
    if not isinstance(content.get("files"), dict) or GRAPH not in content["files"]:
        raise UnusableError(f"its {MANIFEST} lists no {GRAPH}")
    return content
