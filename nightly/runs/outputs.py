"""The outputs of a run: whether they are intact, and the digests that identify them."""

from __future__ import annotations

from artifacts import checksums
from artifacts.manifests import DatasetManifest, Manifest, ModelManifest, PredictionsManifest
from artifacts.paths import Dataset, Model
from configs.errors import UserError


def model_digest(model_dir: str) -> str:
    """Return the digest that identifies a model; raise UserError if it is not finished."""
    return ModelManifest.read(Model(model_dir).manifest).digest()


def dataset_fingerprint(dataset_dir: str) -> str:
    """Return the fingerprint that identifies a dataset; raise UserError if it is not finished."""
    return DatasetManifest.read(Dataset(dataset_dir).manifest).fingerprint()


def damage(root: str, manifest_class: type[Manifest]) -> str | None:
    """Return what is wrong with an output, None if all its files match its manifest."""
    try:
        manifest = manifest_class.read(f"{root}/manifest.json")
    except UserError as error:
        return str(error)
    problem = next(checksums.problems(root, manifest.all_files()), None)
    return f"{root}: {problem}" if problem else None


def version_damage(model_dir: str, predictions_dir: str) -> str | None:
    """Return what is wrong with the model or the predictions of a version, None if both are intact."""
    return damage(model_dir, ModelManifest) or damage(predictions_dir, PredictionsManifest)
