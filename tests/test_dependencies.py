"""setup.py declares what the packages import, and nothing that none of them imports."""

import ast
import importlib.metadata
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("[a-z]*/__init__.py"))
PRODUCT = sorted(set(ROOMS) - {"benchmarks", "tests"})
EXTRAS = {"nightly": ["nightly"], "report": ["report"], "serving": ["serving"], "trainer": ["tuning"]}
# Distributions below the package `google`, which many share.
GOOGLE = {
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.aiplatform_v1": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.bigquery_storage_v1": "google-cloud-bigquery-storage",
    "google.cloud.storage": "google-cloud-storage",
    "google.protobuf": "protobuf",
}
# Uvicorn loads these two by name.
LOADED_BY_NAME = {"httptools", "uvloop"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(monkeypatch) -> dict[str, set[str]]:
    """Return the distributions of setup.py by extra; those of install_requires under ''."""
    found = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: found.update(arguments))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    groups = {"": found["install_requires"]} | found["extras_require"]
    return {
        extra: {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}
        for extra, requirements in groups.items()
    }


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports; of `from a import b`, a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def distributions(room: str) -> dict[str, str]:
    """Return the distributions that a room imports, each with a file that does."""
    by_package, found = importlib.metadata.packages_distributions(), {}
    for path in sorted((ROOT / room).rglob("*.py")):
        if "airflow" in path.parts:  # runs in Airflow's environment
            continue
        for name in imported(path):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in ROOMS:
                continue
            if top == "google":
                owners = [owner for prefix, owner in GOOGLE.items() if f"{name}.".startswith(f"{prefix}.")]
                assert owners or name == "google.cloud", f"{name} is not in the table GOOGLE of this test"
            else:
                owners = by_package[top]
            found |= {normal(owner): str(path.relative_to(ROOT)) for owner in owners}
    return found


@pytest.mark.parametrize("room", PRODUCT)
def test_what_a_room_imports_is_declared(room, monkeypatch):
    groups = declared(monkeypatch)
    allowed = set().union(*(groups[extra] for extra in ["", *EXTRAS.get(room, [])]))
    assert not {owner: path for owner, path in distributions(room).items() if owner not in allowed}


def test_what_is_declared_is_imported(monkeypatch):
    groups = declared(monkeypatch)
    used = set().union(*(distributions(room) for room in PRODUCT)) | LOADED_BY_NAME
    assert groups[""] <= used
    for extras in EXTRAS.values():
        for extra in extras:
            assert groups[extra] <= used, extra
