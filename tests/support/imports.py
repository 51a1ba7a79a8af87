"""The rooms of the project, and the other packages, that a module imports, also by way of others. Nothing is run."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}

# Distributions below packages that many share.
SHARED = {
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.aiplatform_v1": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.bigquery_storage_v1": "google-cloud-bigquery-storage",
    "google.cloud.storage": "google-cloud-storage",
    "google.protobuf": "protobuf",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.propagate": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-api",
}


@functools.cache
def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports; of `from a import b`, a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached(module: str) -> tuple[set[str], set[str]]:
    """Return the rooms, and the modules of other packages, that a module imports, directly or by way of others."""
    seen: set[str] = set()
    others: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.partition(".")[0] not in ROOMS:
            others |= {name} if name.partition(".")[0] not in sys.stdlib_module_names else set()
        elif path := _path(name):
            pending += [name.rpartition(".")[0]] if "." in name else []
            pending += imported(path)
    return {name.partition(".")[0] for name in seen} & ROOMS, others


def owners(name: str) -> list[str]:
    """Return the distributions that a module of another package may be from; none for a namespace."""
    top = name.partition(".")[0]
    if top not in ("google", "opentelemetry"):
        return list(_distributions()[top])
    found = [owner for prefix, owner in SHARED.items() if f"{name}.".startswith(f"{prefix}.")]
    assert found or name in ("google.cloud", "opentelemetry"), f"{name} is not in SHARED of tests/support/imports.py"
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _path(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
