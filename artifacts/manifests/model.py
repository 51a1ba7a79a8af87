"""The manifest of a model, which `trainer.task` writes."""

from __future__ import annotations

from typing import ClassVar

from artifacts.manifests.base import Manifest, Part
from configs.settings import ColdStartSettings, RatingSettings, TrainingSettings


class TrainedOn(Part):
    """The dataset of a model: its directory, its fingerprint and the settings of its ratings."""

    root: str
    fingerprint: str
    rating: RatingSettings


class SweepRecord(Part):
    """One sweep: its number from 1, the loss and the root weighted squared error after it, and its time."""

    sweep: int
    loss: float
    rwse: float
    seconds: float


class CarriedOver(Part):
    """Rows of a side that a warm start took from the earlier model, and rows that it projected."""

    carried_over: int
    projected: int


class StartAccount(Part):
    """The start of the training: from an earlier model, or cold.

    Attributes:
        model: the directory of the earlier model; null if none was named.
        digest: of its manifest; null for a cold start. cold: why the start was cold all the same.
    """

    model: str | None = None
    digest: str | None = None
    cold: str | None = None
    users: CarriedOver | None = None
    items: CarriedOver | None = None


class HeldOutMetric(Part):
    """The metric that early stopping measured after each pass."""

    metric: str
    passes: list[float]


class ModelManifest(Manifest):
    """The manifest of a model.

    Attributes:
        stopped: why the training ended. resumed_after_sweep: 0 if no checkpoint was used.
    """

    KINDS: ClassVar = ("model",)
    SCHEMA_VERSION: ClassVar = 2
    COMMAND: ClassVar = "python -m trainer.task --replace"

    dataset: TrainedOn
    settings: TrainingSettings
    solver: str
    users: int
    items: int
    interactions: int
    embedding_dimension: int
    user_factor_shards: int
    item_factor_shards: int
    stopped: str
    resumed_after_sweep: int
    seconds: float
    history: list[SweepRecord]
    start: StartAccount
    cold_start: ColdStartSettings
    held_out: HeldOutMetric | None = None
