"""The manifest of predictions, which `pipeline.batch_predict` writes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from artifacts.manifests.base import Manifest, Part
from configs.settings import PredictionSettings


class PredictionSections(Part):
    """The settings with which the predictions were made."""

    prediction: PredictionSettings


class PredictionsManifest(Manifest):
    """The manifest of recommendations, audiences, similar items or similar visitors.

    Attributes:
        counts: who was answered first, then what they were given. rules: answers by rule of cold start.
        model_fingerprint: the digest of the model's manifest.
        model_version, run_time: what each row of an output table has; ISO 8601.
    """

    KINDS: ClassVar = ("predictions", "audiences", "similar_items", "similar_visitors")
    SCHEMA_VERSION: ClassVar = 2
    COMMAND: ClassVar = "python -m pipeline.batch_predict --replace"

    seconds: float
    counts: dict[str, int]
    rules: dict[str, int]
    factors: Literal["projected", "trained"]
    model_fingerprint: str
    dataset_fingerprint: str
    model_version: str
    run_time: str
    settings: PredictionSections
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)
