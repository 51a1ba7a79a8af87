"""The settings that a step depends on, with the checksums of the files that they name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from artifacts import checksums
from configs.settings import BIGQUERY, Settings

# Settings that name a file whose bytes change an output.
FILES = (
    "privacy.deleted_visitors",
    "training.row_weights_file",
    "training.col_weights_file",
    "prediction.only",
    "prediction.allow",
    "prediction.block",
    "experiment.exclude",
    "experiment.promoted",
    "catalogue",
    "added_items",
    "user_catalogue",
)


def select(settings: Settings, keys: Collection[str]) -> dict[str, Any]:
    """Return the values of sections and of dotted keys as JSON, and the checksums of the files that they name."""
    tree = settings.model_dump(mode="json")
    del tree["training"]["warm_start"]  # the night sets it to the live model, whatever the config has
    paths = {key: _value(tree, key) for key in FILES if key.partition(".")[0] in keys}
    # A table is among a step's inputs.
    files = {key: path for key, path in paths.items() if path and not path.startswith(BIGQUERY)}
    checksums_of_files = {key: checksum_of(path) for key, path in files.items()}
    return {key: _value(tree, key) for key in keys} | {"files": checksums_of_files}


def _value(tree: dict[str, Any], dotted: str) -> Any:
    for part in dotted.split("."):
        tree = tree[part]
    return tree


def checksum_of(path: str) -> str | None:
    """Return the checksum of a file, None if it cannot be read; the command then reports the error."""
    try:
        return checksums.describe(path).crc32c
    except OSError:
        return None
