"""Manifests as plain dicts, until every caller uses the models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from artifacts.checksums import FileDescription
from artifacts.manifests.base import is_below, kind_of
from artifacts.manifests.kinds import schema_version_of
from configs import __version__
from configs.errors import UserError


def stamp(kind: str, content: Mapping[str, Any]) -> str:
    """The JSON text of a manifest of the given kind (`dataset`, `model`, `predictions`)."""
    head = {"kind": kind, "schema_version": schema_version_of(kind), "code_version": __version__}
    return json.dumps(head | dict(content), indent=2, sort_keys=False, ensure_ascii=False) + "\n"


def parse(text: str | bytes, kind: str, path: str) -> dict[str, Any]:
    """Reads a manifest and checks that this code can read what it stands for.

    Raises:
        UserError: not JSON, of another kind, or of another schema version; or it names a file outside its root.
    """
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a manifest ({error}); make the {kind} again") from error
    found = kind_of(text)
    if found != kind:
        raise UserError(f"{path} belongs to a {found or 'stranger'}, not to a {kind}; check the path")
    version = manifest.get("schema_version")
    expected = schema_version_of(kind)
    if version != expected:
        raise UserError(f"{path} has schema version {version}, this code reads {expected}; make the {kind} again")
    for part in ("files", "other_files"):
        names = manifest.get(part, {})
        if not isinstance(names, dict) or any(not is_below(name) for name in names):
            raise UserError(f"{path} names files outside its directory; it is not of this software's making")
    return manifest


def all_files(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every file below the root but the manifest itself, by name: at least its `bytes` and its `crc32c`.

    `other_files` are those that do not tell one output from another: graphs, whose bytes differ from run to run.
    """
    return {**manifest["files"], **manifest.get("other_files", {})}


def described(manifest: Mapping[str, Any]) -> dict[str, FileDescription]:
    """Every file below the root, described."""
    return {name: FileDescription.model_validate(file) for name, file in all_files(manifest).items()}


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """What tells one dataset from another: a digest of its files' names and checksums."""
    files = sorted((name, file["crc32c"]) for name, file in manifest["files"].items())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def digest(manifest: Mapping[str, Any]) -> str:
    """What tells one model from another: a digest of all that its manifest says."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
