"""A config and those that it extends: `extends: local.yaml` takes all settings of that file that this one lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from configs import places
from configs.errors import UserError
from configs.settings import yaml_files
from configs.settings.signals import PRESETS
from configs.settings.source import OF_PRESETS

EXTENDS = "extends"


class Layer(NamedTuple):
    """One file of a config, without its `extends`."""

    path: str
    tree: dict[str, Any]


def read(path: str) -> list[Layer]:
    """Return the files of a config, from the one that extends none to the config itself; raise UserError."""
    found: list[Layer] = []
    following: str | None = places.locate(path)
    while following is not None:
        if following in (layer.path for layer in found):
            raise UserError(f"config {found[-1].path}: {EXTENDS} comes back to {following}; remove one of them")
        tree = yaml_files.read(following, f"config {following}", "configs/local.yaml")
        parent = tree.pop(EXTENDS, None)
        if not isinstance(parent, str | None):
            raise UserError(f"config {following}: {EXTENDS} must be the path of one file")
        found.append(Layer(following, tree))
        following = places.locate(parent, following.rpartition("/")[0]) if parent is not None else None
    return found[::-1]


def merge(layers: list[Layer]) -> dict[str, Any]:
    """Return the settings of all layers; a later one wins, and a list replaces a list."""
    tree: dict[str, Any] = {}
    for layer in layers:
        make_way(tree, layer.tree)
        _merge(tree, layer.tree)
    return tree


def make_way(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Remove the settings that belong to what changes.

    A preset replaces all settings of items; of page rules, only if its items are not pages. The scale of a rating
    belongs to its kind: that of a median means nothing for stars.
    """
    rating, kind = tree.get("rating"), _get(changes, "rating", "kind")
    if isinstance(rating, dict) and kind not in (None, rating.get("kind")):
        for key in ("scale", "preset"):
            rating.pop(key, None)
    source, preset = tree.get("source"), _get(changes, "source", "preset")
    if isinstance(source, dict) and isinstance(preset, str):
        has_pages = preset not in PRESETS or any(signal.item == "page" for signal in PRESETS[preset].signals)
        for key in OF_PRESETS if has_pages else (*OF_PRESETS, "page"):
            source.pop(key, None)


def _get(tree: Mapping[str, Any], section: str, key: str) -> Any:
    values = tree.get(section)
    return values.get(key) if isinstance(values, dict) else None


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of each value that is not a mapping, and of each mapping."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
