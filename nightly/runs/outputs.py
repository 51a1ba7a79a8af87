"""The outputs of a run: whether they are intact, and the digests that identify them."""

from __future__ import annotations

from typing import Any

from artifacts import checksums, manifests, storage
from artifacts.paths import Dataset, Model, Night, Predictions
from configs.errors import UserError


def damage(root: str, kind: str) -> str | None:
    """Return what is wrong with an output, None if all its files are as its manifest says."""
    try:
        manifest = read(root, kind)
    except UserError as error:
        return str(error)
    problem = next(checksums.problems(root, manifests.described(manifest)), None)
    return f"{root}: {problem}" if problem else None


def read(root: str, kind: str) -> dict[str, Any]:
    """Return the manifest of a finished output.

    Raises:
        UserError: there is no manifest, or it is not one of that kind.
    """
    path = f"{root}/{manifests.MANIFEST}"
    text = storage.read_if_exists(path)
    if text is None:
        raise UserError(f"{root} is not a finished {kind}")
    return manifests.parse(text, kind, path)


def model_digest(model_dir: str) -> str:
    """Return the digest that identifies a model."""
    return manifests.digest(read(Model(model_dir).root, "model"))


def dataset_fingerprint(dataset_dir: str) -> str:
    """Return the fingerprint that identifies a dataset."""
    return manifests.fingerprint(read(Dataset(dataset_dir).root, "dataset"))


def finished(night: Night) -> dict[str, dict[str, Any]]:
    """Return the manifests of the dataset, the model and the predictions, as far as they are finished, by kind."""
    roots = {
        "dataset": Dataset(night.dataset),
        "model": Model(night.model),
        "predictions": Predictions(night.predictions),
    }
    return {kind: read(output.root, kind) for kind, output in roots.items() if storage.exists(output.manifest)}
