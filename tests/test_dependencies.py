"""setup.py declares what the packages import, and nothing that none of them imports."""

import functools
import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.support.imports import imported, owners

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / "deploy" / "vertex_pipeline" / "pipeline.py"
ROOMS = sorted(path.parent.name for path in ROOT.glob("[a-z]*/__init__.py"))
PRODUCT = sorted(set(ROOMS) - {"benchmarks", "tests"})
EXTRAS = {"nightly": ["nightly"], "report": ["report"], "serving": ["serving", "opentelemetry"], "trainer": ["tuning"]}
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


@functools.cache
def distributions(room: str) -> dict[str, str]:
    """Return the distributions that a room imports, each with a file that does."""
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        if "airflow" in path.parts or path == PIPELINE:  # run in the environments of Airflow and of kfp
            continue
        for name in imported(path):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in ROOMS:
                continue
            found |= {normal(owner): str(path.relative_to(ROOT)) for owner in owners(name)}
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
