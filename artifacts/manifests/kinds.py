"""Reading the manifest of an output whose kind is not known in advance."""

from __future__ import annotations

from artifacts import storage
from artifacts.manifests.base import MANIFEST, Manifest, kind_of
from artifacts.manifests.dataset import DatasetManifest
from artifacts.manifests.model import ModelManifest
from artifacts.manifests.night import RunManifest
from artifacts.manifests.predictions import PredictionsManifest
from artifacts.manifests.served import ServedVersionManifest
from artifacts.paths import join
from configs.errors import UserError

_CLASSES = (DatasetManifest, ModelManifest, PredictionsManifest, ServedVersionManifest, RunManifest)


def read_any(root: str) -> Manifest:
    """Read the manifest of a finished output of any kind.

    Raises:
        UserError: the root has no manifest, or one that this code cannot read.
    """
    path = join(root, MANIFEST)
    try:
        text = storage.read_bytes(path)
    except OSError as error:
        raise UserError(f"{root} is not a finished output (no {MANIFEST} in it); check the path") from error
    kind = kind_of(text)
    for manifest in _CLASSES:
        if kind in manifest.KINDS:
            return manifest.parse(text, path)
    raise UserError(f"{path} is not a manifest; check the path")
