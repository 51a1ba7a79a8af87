"""Reading settings from a YAML file and from overrides; every mistake is an error of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from configs.errors import UserError
from configs.settings import renamed, yaml_files
from configs.settings.run import Settings, resolve
from configs.settings.section import describe


def load_settings(path: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the resolved settings of a YAML file, local or gs://.

    Args:
        path: the file.
        overrides: dotted keys (`source.kind`) and values that replace those of the file; a None replaces nothing.

    Raises:
        UserError: the file is missing, is not YAML, or has an unknown or renamed key or a wrong value.
    """
    name = f"config {path}"
    try:
        data = _read(path)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist; see configs/local.yaml for one") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    tree = yaml_files.parse_mapping(data, name, "source:, training:")
    given = {dotted: value for dotted, value in (overrides or {}).items() if value is not None}
    rating = tree.get("rating")
    if isinstance(rating, dict) and given.get("rating.kind", rating.get("kind")) != rating.get("kind"):
        rating.pop("scale", None)  # a scale belongs to its kind: the 3 of a median means nothing for stars
    yaml_files.insert(tree, given)
    renamed.refuse(tree, name)
    try:
        return resolve(Settings.model_validate(tree))
    except ValidationError as error:
        raise UserError(f"{name}: {describe(error, Settings)}") from error


def _read(path: str) -> bytes:
    """Read a config from a disk, or from gs:// for machines without a disk of ours.

    Raises:
        OSError: it cannot be read; FileNotFoundError if it does not exist.
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
