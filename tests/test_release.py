"""The wheel contains every file of the packages; `make dist-test` installs it into an empty environment."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import configs

ROOT = Path(__file__).parents[1]


def test_the_wheel_has_every_file_of_every_package(tmp_path):
    """Build from a copy: setuptools leaves its build directory behind and includes what is in it next time."""
    source, ignored = tmp_path / "source", shutil.ignore_patterns(".*", "__pycache__")
    for package in ROOT.glob("[a-z]*/__init__.py"):
        shutil.copytree(package.parent, source / package.parent.name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    packages = [path.parent for path in source.rglob("__init__.py")]
    expected = {str(path.relative_to(source)) for package in packages for path in package.glob("*.*")}
    uv = Path(sys.executable).parent / "uv"
    flags = ["--wheel", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, "build", *flags, "--out-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"wals_recommender-{configs.__version__}-py3-none-any.whl"
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected
