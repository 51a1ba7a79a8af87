"""The sizes of packages and modules; `make lint` checks which room may import which (.importlinter)."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent for path in ROOT.glob("[a-z]*/__init__.py"))
PACKAGES = sorted({path.parent for room in ROOMS for path in room.rglob("__init__.py")})
MOST_MODULES, MOST_LINES = 12, 300
# Compiled by Numba as one module: its cache does not notice a change in another module (docs/architecture.md).
LONG = {"pipeline/readers/json_scan.py"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_has_at_most_twelve_modules(package):
    assert len({path.name for path in package.glob("*.py")} - {"__init__.py"}) <= MOST_MODULES


def test_a_module_has_at_most_three_hundred_lines():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for room in ROOMS
        for path in room.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > MOST_LINES and name not in LONG} == {}
