"""Settings of a YAML file and of overrides; what is wrong with them, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from configs.errors import UserError
from configs.settings.run import Settings


def load_settings(path: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads a YAML file, local or gs://; `overrides` maps dotted keys (`source.kind`) to values, None for not given.

    Raises:
        UserError: the file is missing, not YAML, or holds an unknown key or a wrong value.
    """
    try:
        tree = yaml.safe_load(_text(path)) or {}
    except FileNotFoundError:
        raise UserError(f"config {path} does not exist; see configs/local.yaml for one") from None
    except OSError as error:
        raise UserError(f"config {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"config {path} holds no settings by name (source:, training:, ...)")
    given = {dotted: value for dotted, value in (overrides or {}).items() if value is not None}
    rating = tree.get("rating")
    if isinstance(rating, dict) and given.get("rating.kind", rating.get("kind")) != rating.get("kind"):
        rating.pop("scale", None)  # a scale belongs to its kind: 3 of a median is none of stars
    for dotted, value in given.items():
        _put(tree, dotted.split("."), value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"config {path}: {_say(error)}") from error


def _text(path: str) -> bytes:
    """The config as it lies on a disk, or on gs:// for machines that have no disk of ours.

    Raises:
        OSError: it cannot be read; FileNotFoundError where it is not there.
    """
    if not path.startswith("gs://"):
        with open(path, "rb") as file:
            return file.read()
    from google.api_core.exceptions import GoogleAPICallError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        return storage.Client().bucket(bucket).blob(name).download_as_bytes()
    except NotFound:
        raise FileNotFoundError(path) from None
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise OSError(0, " ".join(str(error).split())) from error


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[parts[-1]] = value


def _say(error: ValidationError) -> str:
    """Pydantic's findings in one line, each with the key it is about."""
    findings = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"]) or "settings"
        if finding["type"] == "extra_forbidden":
            findings.append(f"unknown key {key}{_known(finding['loc'])}")
        else:
            findings.append(f"{key}: {finding['msg'].removeprefix('Value error, ')}")
    return "; ".join(findings)


def _known(loc: tuple[int | str, ...]) -> str:
    section: Any = Settings
    for part in loc[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field else None
    names = getattr(section, "model_fields", None)
    return f" (known: {', '.join(names)})" if names else ""
