"""Reading settings from a YAML file and from overrides; every mistake is an error of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs.settings import yaml_files
from configs.settings.run import Settings, resolve
from configs.settings.section import validate


def load_settings(path: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the resolved settings of a YAML file, local or gs://.

    Args:
        path: the file.
        overrides: dotted keys (`source.kind`) and values that replace those of the file; a None replaces nothing.

    Raises:
        UserError: the file is missing, is not YAML, or has an unknown or renamed key or a wrong value.
    """
    name, overrides = f"config {path}", overrides or {}
    tree = yaml_files.read(path, name, "configs/local.yaml")
    rating, kind = tree.get("rating"), overrides.get("rating.kind")
    if isinstance(rating, dict) and kind not in (None, rating.get("kind")):
        rating.pop("scale", None)  # a scale belongs to its kind: the 3 of a median means nothing for stars
    yaml_files.insert(tree, overrides)
    return resolve(validate(Settings, tree, name))
