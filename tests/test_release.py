"""The wheel has every file of the rooms, inside one package; `make dist-test` installs it into an empty environment."""

import ast
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import configs

ROOT = Path(__file__).parents[1]
ROOMS = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - {"benchmarks", "tests"}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Copy the tree: setuptools leaves its build directory behind and includes what is in it next time."""
    source, ignored = tmp_path_factory.mktemp("source"), shutil.ignore_patterns(".*", "__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


def build(kind: str, source: Path, target: Path, **variables: str) -> Path:
    uv = Path(sys.executable).parent / "uv"
    flags = [f"--{kind}", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, "build", *flags, "--out-dir", target, source], check=True, env=os.environ | variables)
    (built,) = (path for path in target.iterdir() if path.suffix in (".whl", ".gz"))
    return built


def files_of_rooms() -> set[str]:
    packages = [path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")] + [ROOT / "serving/site"]
    return {str(path.relative_to(ROOT)) for package in packages for path in package.glob("*.*")}


def names(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_has_every_file_of_every_room_in_one_package(source, tmp_path):
    wheel = build("wheel", source, tmp_path)
    assert wheel.name == f"wals_recommender-{configs.__version__}-py3-none-any.whl"
    assert names(wheel) == {name if name.startswith("wals/") else f"wals/{name}" for name in files_of_rooms()}
    with zipfile.ZipFile(wheel) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "wals = wals.__main__:main" in archive.read(entry).decode()
        modules = {name: archive.read(name) for name in names(wheel) if name.endswith(".py")}
    for name, code in modules.items():
        tree = ast.parse(code)
        wrong = [
            ast.unparse(node)
            for node in ast.walk(tree)
            if {top.partition(".")[0] for top in imported(node)} & (ROOMS - {"wals"})
        ]
        assert not wrong, name
        original = source / (name if (source / name).is_file() else name.removeprefix("wals/"))
        assert code.count(b"\n") == original.read_bytes().count(b"\n")


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_the_sdist_for_dataflow_installs_the_rooms_at_the_top(source, tmp_path):
    """Workers unpickle by the names that the clone has."""
    built = build("sdist", source, tmp_path, WALS_ROOMS_AT_TOP="1")
    with tarfile.open(built) as archive:
        archive.extractall(tmp_path / "worker", filter="data")
    (unpacked,) = (tmp_path / "worker").iterdir()
    assert names(build("wheel", unpacked, tmp_path / "wheel")) == files_of_rooms()
