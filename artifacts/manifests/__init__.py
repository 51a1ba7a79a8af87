"""Manifests: what a dataset, a model, predictions and a night state about themselves, as typed models.

A manifest is written last, so an output without one is not finished. Each kind has its own schema version; an output of
another version is refused with the command that makes it again.
"""

from artifacts.manifests.base import MANIFEST, Manifest, kind_of
from artifacts.manifests.dataset import (
    Comparison,
    DatasetCounts,
    DatasetManifest,
    DatasetSections,
    Days,
    SplitAccount,
)
from artifacts.manifests.kinds import read_any
from artifacts.manifests.model import CarriedOver, HeldOutMetric, ModelManifest, StartAccount, SweepRecord, TrainedOn
from artifacts.manifests.night import AliasManifest, InputTable, LiveVersion, RunManifest, StepRecord
from artifacts.manifests.predictions import PredictionSections, PredictionsManifest
from artifacts.manifests.served import ServedVersionManifest

__all__ = [
    "MANIFEST",
    "AliasManifest",
    "CarriedOver",
    "Comparison",
    "DatasetCounts",
    "DatasetManifest",
    "DatasetSections",
    "Days",
    "HeldOutMetric",
    "InputTable",
    "LiveVersion",
    "Manifest",
    "ModelManifest",
    "PredictionSections",
    "PredictionsManifest",
    "RunManifest",
    "ServedVersionManifest",
    "SplitAccount",
    "StartAccount",
    "StepRecord",
    "SweepRecord",
    "TrainedOn",
    "kind_of",
    "read_any",
]
