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
    _run([UV, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "requirements.lock", path])

    work = scratch / "work"
    work.mkdir()
    version = re.search(r'__version__ = "(.+)"', (ROOT / "configs" / "__init__.py").read_text())[1]
    found = _run([python, "-c", "import configs; print(configs.__version__, configs.__path__[0])"], work).split()
    assert found[0] == version and str(scratch) in found[1], found
    config = Path(found[1]) / "local.yaml"
    _run([python, "-m", "pipeline.sample", "--output_dir", "data/export", "--visitors", "300"], work)
    for module in ("pipeline.preprocess", "trainer.task", "pipeline.batch_predict"):
        _run([python, "-m", module, "--config", config], work)
    shown = _run([python, "-m", "pipeline.show", "--config", config], work)
    assert shown.count("recommended") >= 5, shown
    _run([python, "-m", "pipeline.verify", "data/dataset", "data/model", "data/predictions"], work)
    _run([python, "-m", "nightly.status", "--config", config], work)


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
