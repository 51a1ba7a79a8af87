"""Kills preprocessing, training and prediction at random moments, starts each again, and compares with a quiet run.

    python -m tests.kits.kill_kit --moments 50 --seed 1

A moment is a share of the quiet run's time, drawn by the seed; one that comes after the job's end is drawn again.
After each kill (SIGKILL to the whole process group) the same command is started again, now undisturbed; then the output
must be whole by its manifest and equal that of the quiet run, and nothing may be next to it that the quiet run did not
leave too.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from artifacts import manifests
from pipeline import verify
from tests.support import forkserver

STEPS = ("preprocess", "train", "predict")
_MODULES = {"preprocess": "pipeline.preprocess", "train": "trainer.task", "predict": "pipeline.batch_predict"}
_OUTPUTS = {"preprocess": "dataset", "train": "model", "predict": "predictions"}
_CONFIG = """\
source: {{kind: ga360, input: '{root}/export/ga360/*'}}
dataset: {{shards: 3}}
training: {{embedding_dimension: 16, max_sweeps: 60, seed: 5}}
dataset_dir: {root}/dataset
model_dir: {root}/model
predictions_dir: {root}/predictions
beam: {{runner: {runner}}}
"""


@dataclass(frozen=True)
class Moment:
    """One kill: of what, after how many seconds, and what was wrong after the restart (nothing: it survived)."""

    step: str
    seconds: float
    problems: tuple[str, ...]


def run(
    moments: int,
    seed: int,
    root: Path,
    *,
    steps: tuple[str, ...] = STEPS,
    visitors: int = 150,
    earliest: float = 0.0,
    runner: str = "FnApiRunner",
) -> Iterator[Moment]:
    """Make a sample export below `root` and kill so many times, the steps in turn; earliest: share of the time."""
    sample = [sys.executable, "-m", "pipeline.sample", "--visitors", str(visitors), "--items", "60"]
    forkserver.run([*sample, "--output_dir", str(root / "export")], check=True, capture_output=True)
    (root / "config.yaml").write_text(_CONFIG.format(root=root, runner=runner))
    rng, took, quiet = random.Random(seed), {}, {}
    for step in STEPS[: 1 + max(map(STEPS.index, steps))]:
        started = time.monotonic()
        _start(root, step, graphs=step in steps).wait()
        took[step] = time.monotonic() - started
        quiet[step] = _digest(root / _OUTPUTS[step])
    beside = {path.name for path in root.iterdir()}
    for number in range(moments):
        step = steps[number % len(steps)]
        moment = None
        while moment is None:
            seconds = took[step] * rng.uniform(earliest, 1)
            moment = _kill_once(root, step, seconds, quiet[step], beside)
            if moment is None:
                took[step] = seconds  # the quiet run was slower than this one
        yield moment


def _start(root: Path, step: str, *flags: str, graphs: bool = True) -> subprocess.Popen:
    """Start a job; graphs: a training writes those of its SavedModel, which no other step reads."""
    module = [_MODULES[step]] if graphs or step != "train" else ["tests.support.quick_export", _MODULES[step]]
    command = [sys.executable, "-m", *module, "--config", str(root / "config.yaml"), *flags]
    with open(root.parent / f"{root.name}.log", "ab") as log:
        return forkserver.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _kill_once(root: Path, step: str, seconds: float, quiet: dict[str, str], beside: set[str]) -> Moment | None:
    """Kill a job once and start it again; return None where it had ended before."""
    output = root / _OUTPUTS[step]
    replaces = step != "train"  # a training with --replace starts over; without, it goes on
    if not replaces:
        shutil.rmtree(output)
    flags = ["--replace"] if replaces else []
    process = _start(root, step, *flags)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == 0:
        return None
    if status := _start(root, step, *flags).wait():
        return Moment(step, seconds, (f"the restart exits with {status}",))
    return Moment(step, seconds, tuple(_problems(root, output, quiet, beside)))


def _problems(root: Path, output: Path, quiet: dict[str, str], beside: set[str]) -> Iterator[str]:
    yield from verify.problems(str(output), manifests.read_any(str(output)))
    now = _digest(output)
    for name in sorted(now.keys() ^ quiet.keys()):
        yield f"{name} is {'left over' if name in now else 'missing'}"
    for name in sorted(now.keys() & quiet.keys()):
        if now[name] != quiet[name]:
            yield f"{name} differs"
    for name in sorted({path.name for path in root.iterdir()} ^ beside):
        yield f"{name} is next to the output"


def _digest(output: Path) -> dict[str, str]:
    """Return checksums by name of what must be the same; of graphs, whose bytes differ each time, the names."""
    manifest = manifests.read_any(str(output))
    files, own = manifest.all_files(), manifest.files
    found = {}
    for name, file in files.items():
        if name.startswith("logs/"):
            continue
        same = name in own and not name.startswith("saved_model/")
        found[name] = file.crc32c if same else "there"
    return found


def main() -> int:
    """Print one line per moment; fail where one was not survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for moment in run(args.moments, args.seed, Path(folder) / "kit"):
            what = "; ".join(moment.problems) or "survived"
            failed += bool(moment.problems)
            print(f"{moment.step:10} after {moment.seconds:6.2f} s  {what}", flush=True)
    print(f"{args.moments - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
