"""The manifest of a version that is served, which `serving.publish` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from artifacts.checksums import FileDescription
from artifacts.manifests.base import Manifest
from artifacts.manifests.model import ModelManifest, TrainedOn
from configs.settings import ColdStartSettings


class ServedVersionManifest(Manifest):
    """A copy of a model's SavedModel; `model` is the digest of that model's manifest."""

    KINDS: ClassVar = ("served model",)
    SCHEMA_VERSION: ClassVar = 1
    COMMAND: ClassVar = "python -m serving.publish"

    model: str
    dataset: TrainedOn
    users: int
    items: int
    interactions: int
    cold_start: ColdStartSettings

    @classmethod
    def of(cls, model: ModelManifest, files: Mapping[str, FileDescription]) -> Self:
        """Return the manifest of a copy of a model's SavedModel."""
        return cls(
            model=model.digest(),
            dataset=model.dataset,
            users=model.users,
            items=model.items,
            interactions=model.interactions,
            cold_start=model.cold_start,
            files=dict(files),
        )
