"""Manifests for outputs that tests make by hand: a test names the fields that it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artifacts.checksums import FileDescription, describe
from artifacts.manifests import DatasetManifest, ModelManifest, PredictionsManifest
from configs.settings import (
    ColdStartSettings,
    DatasetSettings,
    PredictionSettings,
    RatingSettings,
    SourceSettings,
    SplitSettings,
    TrainingSettings,
)

_COUNTS = {"files_read": 1, "files_outside_window": 0, "rows_read": 1, "rows_rejected": 0}


def describe_below(root: Path, *paths: str | Path) -> dict[str, FileDescription]:
    """Return the descriptions of files by their names relative to a root."""
    return {str(Path(path).relative_to(root)): describe(str(path)) for path in paths}


def dataset_manifest(users: int = 1, items: int = 1, interactions: int = 1, **fields: Any) -> DatasetManifest:
    """Return the manifest of a dataset; `fields` by name replace the values of the others."""
    counts = _COUNTS | fields.pop("counts", {}) | {"users": users, "items": items, "interactions": interactions}
    settings = {
        "source": SourceSettings(),
        "rating": RatingSettings(),
        "split": SplitSettings(),
        "dataset": DatasetSettings(),
    } | fields.pop("settings", {})
    values = {
        "created": "2024-01-02T03:04:05+00:00",
        "seconds": 1.0,
        "rejected": {},
        "skipped": {},
        "split": {"kind": "none"},
        "capped_at_max_dwell": 0,
        "median": 1000.0,
        "days": {},
        "shards": {"items_for_user": 1, "users_for_item": 1},
        "compression": "none",
    }
    return DatasetManifest(**values | {"counts": counts, "settings": settings} | fields)


def model_manifest(
    dataset: DatasetManifest | None = None,
    root: str = "dataset",
    training: TrainingSettings | None = None,
    **fields: Any,
) -> ModelManifest:
    """Return the manifest of a model of a dataset; `fields` by name replace the values of the others."""
    dataset, training = dataset or dataset_manifest(), training or TrainingSettings()
    values = {
        "dataset": {
            "root": root,
            "fingerprint": dataset.fingerprint(),
            "rating": dataset.settings.rating,
            "median": dataset.median,
        },
        "settings": training,
        "solver": "exact",
        "users": dataset.counts.users,
        "items": dataset.counts.items,
        "interactions": dataset.counts.interactions,
        "embedding_dimension": 128 if training.embedding_dimension == "auto" else training.embedding_dimension,
        "user_factor_shards": dataset.shards["items_for_user"],
        "item_factor_shards": dataset.shards["users_for_item"],
        "stopped": "max_sweeps",
        "resumed_after_sweep": 0,
        "seconds": 1.0,
        "history": [{"sweep": number, "loss": 12.5, "rwse": 0.25, "seconds": 0.1} for number in (1, 2)],
        "start": {},
        "cold_start": ColdStartSettings(),
    }
    return ModelManifest(**values | fields)


def predictions_manifest(**fields: Any) -> PredictionsManifest:
    """Return the manifest of predictions; `fields` by name replace the values of the others."""
    values = {
        "seconds": 1.0,
        "counts": {"visitors": 1, "items": 1, "recommendations": 1},
        "rules": {},
        "factors": "trained",
        "model_fingerprint": "0" * 64,
        "dataset_fingerprint": "0" * 64,
        "model_version": "0" * 12,
        "run_time": "2024-01-02T03:04:05+00:00",
        "settings": {"prediction": PredictionSettings()},
    }
    return PredictionsManifest(**values | fields)
