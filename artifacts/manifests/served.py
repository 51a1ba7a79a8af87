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
    dataset: TrainedOn | None = None
    users: int | None = None
    items: int | None = None
    interactions: int | None = None
    cold_start: ColdStartSettings | None = None

    @classmethod
    def of(cls, model: ModelManifest, files: Mapping[str, FileDescription]) -> Self:
        """Return the manifest of a copy of a model's SavedModel."""
        copied = {name: getattr(model, name) for name in ("dataset", "users", "items", "interactions", "cold_start")}
        return cls(model=model.digest(), files=dict(files), **copied)
