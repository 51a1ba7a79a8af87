"""Installs each file of dist/ into an empty environment and runs the main job there.

    python tests/kits/install_dist.py dist

Minutes long, so `make dist-test` runs it and the test suite does not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OWN = "import configs, report, wals; print(configs.OWNER, report.OWNER, wals.WALSMatrixFactorization.__module__)"
UV = Path(sys.executable).parent / "uv"


def main(folder: str) -> None:
    files = sorted(path.resolve() for path in Path(folder).glob("wals_recommender-*") if path.suffix in (".whl", ".gz"))
    assert len(files) == 2, f"{folder} has {len(files)} files, not a wheel and an sdist; run make dist"
    for path in files:
        with tempfile.TemporaryDirectory() as scratch:
            check(path, Path(scratch))
        print(f"{path.name}: installs, and runs the main job", flush=True)


def check(path: Path, scratch: Path) -> None:
    """Run what `make run` runs, by what is installed alone: nothing of the clone is on the path."""
    python = scratch / "venv" / "bin" / "python"
    _run([UV, "venv", "--quiet", "--python", sys.executable, scratch / "venv"])
    # An sdist is built here, in isolation, as pip does for a user.
    install = [UV, "pip", "install", "--quiet", "--python", python]
    _run([*install, "--constraint", ROOT / "requirements.lock", f"{path}[nightly]"])

    work = _project(scratch / "work")
    version = re.search(r'__version__ = "(.+)"', (ROOT / "configs" / "__init__.py").read_text())[1]
    wals = scratch / "venv" / "bin" / "wals"
    assert _run([wals, "--version"], work) == f"wals {version}\n"
    assert _run([python, "-c", _OWN], work) == "mine mine wals.trainer.model\n"
    _run([wals, "sample", "--output_dir", "data/export", "--visitors", "300"], work)
    for command in ("preprocess", "train", "predict"):
        _run([wals, command], work)
    shown = _run([wals, "show"], work)
    assert shown.count("recommended") >= 5, shown
    _run([wals, "verify", "data/dataset", "data/model", "data/predictions"], work)
    _run([wals, "night", "--config", "nightly", "--date", "2024-01-06"], work)
    assert "live: 2024-01-06" in _run([wals, "status", "--config", "nightly"], work)
    _public_data(wals, work)


def _public_data(wals: Path, work: Path) -> None:
    """Run the README's three commands on Google's public data, if an extract of it is here."""
    extract = Path(os.environ.get("WALS_SHARED_DATA", "shared")) / "google" / "ga4_events.parquet"
    if not extract.is_file():
        print("Google's public data is not here (WALS_SHARED_DATA): its commands are not run")
        return
    for command in (["preprocess", "--input", extract.resolve()], ["train"], ["predict"]):
        printed = _run([wals, *command, "--config", "public_ga4"], work)
    assert "recommendations" in printed, printed


def _project(work: Path) -> Path:
    """Make a project that has packages with the names of our rooms."""
    for name in ("configs", "report"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").write_text("OWNER = 'mine'\n")
    return work


def _run(command: list, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(
            f"{' '.join(map(str, command))} failed ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1])
