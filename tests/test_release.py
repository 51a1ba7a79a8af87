"""The wheel holds all that the packages hold; `make dist-test` installs it into an empty environment."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import configs

ROOT = Path(__file__).parents[1]


def test_the_wheel_has_every_file_of_every_package(tmp_path):
    """Built of a copy: setuptools leaves its build directory behind, and takes up what lies there."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "ruff.toml")
    packages = [path.parent for path in ROOT.glob("[a-z]*/__init__.py")]
    for package in packages:
        shutil.copytree(package, tmp_path / "source" / package.name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    source = tmp_path / "source"
    expected = {str(path.relative_to(source)) for package in packages for path in (source / package.name).rglob("*.*")}
    uv = Path(sys.executable).parent / "uv"
    flags = ["--wheel", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, "build", *flags, "--out-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"wals_recommender-{configs.__version__}-py3-none-any.whl"
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected
