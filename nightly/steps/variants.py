"""The models of an experiment's variants that have settings of their own: a night trains them next to its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from artifacts import storage
from artifacts.manifests import LiveVersion, ModelManifest
from artifacts.paths import Model, Night
from configs.settings import Settings
from nightly.runs import outputs


def of(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings of each variant of which a night trains a model."""
    return {name: variant.settings for name, variant in settings.experiment.variants.items() if variant.settings}


def flags(settings: Settings, night: Night, dataset: str, parent: LiveVersion | None) -> Iterator[tuple[str, ...]]:
    """Yield the flags of the training of each variant."""
    for name, changes in of(settings).items():
        values = changes | {"training.warm_start": _parent(name, parent)}
        sets = [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        yield ("--dataset_dir", dataset, "--model_dir", night.variant(name), "--replace", *sets)


def _parent(name: str, parent: LiveVersion | None) -> str | None:
    """Return the model from which a variant's starts: that of the night before, or that night's own."""
    if parent is None:
        return None
    before = Night(parent.predictions_dir.rpartition("/")[0]).variant(name)
    return before if storage.exists(Model(before).manifest) else parent.model_dir


def damage(night: Night) -> str | None:
    """Return what is wrong with one of the models, None if all are intact."""
    roots = (night.variant(name) for name in storage.list_directories(night.variants))
    found = (outputs.damage(root, ModelManifest) for root in roots if storage.exists(Model(root).manifest))
    return next(filter(None, found), None)


def digests(settings: Settings, night: Night) -> dict[str, str]:
    """Return the digest of each variant's model; raise UserError if one is not finished."""
    return {name: outputs.model_digest(night.variant(name)) for name in of(settings)}
