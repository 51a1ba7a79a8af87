"""Nights of the sample by the real commands, each disturbed in its own way, and as many quiet ones.

Three nights here, all seven by `make night-test` (WALS_SEVEN_NIGHTS=1), which takes two minutes of processor time.
The steps run in this process, which has Beam and TensorFlow loaded once; those that SIGKILL ends have their own. The
models have no graphs, which no step reads.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import importlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from artifacts.paths import Nights
from configs import cli
from nightly import run
from nightly.runs import live, outputs, record
from nightly.steps.process import Execute
from pipeline.sample import main as sample
from tests.support import forkserver
from tests.support.exports import PLAIN_RUNNER

NIGHTS = 7 if os.environ.get("WALS_SEVEN_NIGHTS") else 3
NIGHTLY = {"refit": NIGHTS == 7}  # twice the steps, so in the long form alone
ROOT = Path(__file__).parents[2]
FIRST = datetime.date(2024, 1, 3)
DAYS = [str(FIRST + datetime.timedelta(days=number)) for number in range(7)]
Say = Callable[[str], None]


def in_process(command: Sequence[str], say: Say, timeout_s: float) -> int:
    """Run a step as `nightly.steps.process.execute` does, without a process of its own."""
    module, *argv = command
    main = importlib.import_module({"deploy.vertex.train": "trainer.task"}.get(module, module)).main
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = cli.run(main, argv)
        except Exception:
            traceback.print_exc()
            status = 1
    for line in said.getvalue().splitlines():
        say(line)
    return status


def disturbed(module: str, how: Execute) -> Execute:
    """Return the real steps, one of them run otherwise."""

    def execute(command: Sequence[str], say: Say, timeout_s: float) -> int:
        return (how if command[0] == module else in_process)(command, say, timeout_s)

    return execute


_KILLED_IN_PUBLISH = """
import os, runpy, signal, sys
rename = os.rename
def killed(source, target):
    os.kill(os.getpid(), signal.SIGKILL) if str(source).endswith(".partial") else rename(source, target)
os.rename = killed
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def killed_in_publish(command: Sequence[str], say: Say, timeout_s: float) -> int:
    """Run the step in a process of its own, which SIGKILL ends just before its output is renamed."""
    killed = forkserver.run([sys.executable, "-c", _KILLED_IN_PUBLISH, *command], capture_output=True, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    return killed.returncode


def disk_full(command: Sequence[str], say: Say, timeout_s: float) -> int:
    """Run the step with files limited to a page: the system refuses the bytes, as it does on a full disk."""
    before, said = resource.getrlimit(resource.RLIMIT_FSIZE), []
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        return in_process(command, said.append, timeout_s)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for line in said:  # not before: pytest keeps what is printed in a file, too
            say(line)


class Site:
    """An export with one table per day, its config, and the nights run on it."""

    def __init__(self, root: Path, export: Path):
        self.root, self.nights = root, Nights(str(root / "nights"))
        root.mkdir()
        self.tables = {}
        for path in export.glob("ga4/*"):
            self.tables[path.name[7:15]] = path.read_bytes()
            (root / path.name).write_bytes(path.read_bytes())
        self.config = root / "config.yaml"
        self.config.write_text(
            json.dumps(
                {
                    "source": {"kind": "ga4", "input": f"{root}/events_*", "window_days": 3},
                    "split": {"kind": "last_n"},
                    "validation": {"interactions": 0.3},
                    "training": {"embedding_dimension": 8, "max_sweeps": 12},
                    "evaluation": {"k": [20], "baselines": ["popularity"], "resamples": 100},
                    "prediction": {"formats": ["text"]},
                    "nightly": {"directory": self.nights.root, "beats": [], "require": ["recall@20>=0.1"]} | NIGHTLY,
                    "beam": {"runner": "FnApiRunner" if NIGHTS == 7 else PLAIN_RUNNER},
                }
            )
        )

    def table(self, day: str) -> Path:
        return next(self.root.glob(f"events_{day.replace('-', '')}*"), None) or self.root / (
            f"events_{day.replace('-', '')}.ndjson.gz"
        )

    def put_back(self, day: str) -> None:
        self.table(day).write_bytes(self.tables[day.replace("-", "")])

    def run(self, day: str, *flags: str, execute: Execute = in_process) -> int:
        """Run a night and return the exit status of the command."""
        argv = ["--config", str(self.config), "--date", day, *flags]
        return cli.run(lambda argv: run.main(argv, execute), argv)

    def live(self) -> str:
        """Return the live version's date.

        Raises:
            AssertionError: not exactly one version is live and intact.
        """
        version = live.read(self.nights).live
        assert version is not None
        problem = outputs.version_damage(version.model_dir, version.predictions_dir)
        assert problem is None, problem
        return version.date

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Check all the time that one intact version is live; yield the dates seen, in order."""
        seen, troubles, end = [self.live()], [], threading.Event()

        def look() -> None:
            done = False
            while not done:
                done = end.wait(0.05)  # and once more after the end
                try:
                    if (date := self.live()) != seen[-1]:
                        seen.append(date)
                except BaseException as error:
                    troubles.append(error)
                    return

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            end.set()
            thread.join()
        assert not troubles, troubles[0]


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    cli.import_tensorflow()
    root = tmp_path_factory.mktemp("sample") / "export"
    flags = ["--visitors", "150", "--items", "60", "--days", "9", "--layouts", "ga4"]
    sample(["--output_dir", str(root), *flags])
    return root


def two_runs_for_one_date(site: Site, day: str) -> None:
    others = []

    def meanwhile(command: Sequence[str], say: Say, timeout_s: float) -> int:
        others.append(site.run(day))
        return in_process(command, say, timeout_s)

    assert site.run(day, execute=disturbed("deploy.vertex.train", meanwhile)) == 0
    assert set(others) == {2}, "the second is refused"
    assert site.run(day) == 0 and record.attempts(site.nights, day) == [1], "and later there is nothing to do"


def missing_table(site: Site, day: str) -> None:
    site.table(day).unlink()
    assert site.run(day) == 2
    site.put_back(day)


def killed_trainer(site: Site, day: str) -> None:
    """SIGKILL to the night itself, as it starts each step; its trainer must not live on and hold the model's place."""
    assert site.run(day, "--only", "preprocess") == 0
    command = [sys.executable, "-m", "nightly.run", "--config", str(site.config), "--date", day, "--only", "train"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with forkserver.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as night:
        assert any("sweep 3" in line for line in night.stdout), "it trains"
        night.kill()
        night.stdout.read()  # to its end: the trainer has no pipe of ours, but dies all the same


def failing_gate(site: Site, day: str) -> None:
    assert site.run(day, "--set", 'nightly.require=["recall@20>=0.99"]') == 3


def kill_in_publish(site: Site, day: str) -> None:
    assert site.run(day, execute=disturbed("pipeline.batch_predict", killed_in_publish)) == 1


def full_disk(site: Site, day: str) -> None:
    assert site.run(day, execute=disturbed("deploy.vertex.train", disk_full)) == 1
    assert "File too large" in Path(record.newest(site.nights, day).night.log("train")).read_text()


def validation_stops(site: Site, day: str) -> None:
    lines = gzip.decompress(site.tables[day.replace("-", "")]).splitlines(keepends=True)
    site.table(day).write_bytes(gzip.compress(b"".join(lines[: len(lines) // 50])))
    assert site.run(day) == 3
    assert "interactions" in record.newest(site.nights, day).manifest.message
    site.put_back(day)


DISTURBANCES = [
    two_runs_for_one_date,
    killed_trainer,
    kill_in_publish,
    missing_table,
    failing_gate,
    full_disk,
    validation_stops,
]


@pytest.mark.usefixtures("without_graphs")
def test_disturbed_nights_end_like_quiet_ones(tmp_path, export):
    disturbances, days = DISTURBANCES[:NIGHTS], DAYS[:NIGHTS]
    quiet, troubled = Site(tmp_path / "quiet", export), Site(tmp_path / "troubled", export)
    assert [quiet.run(day) for day in days] == [0] * NIGHTS
    for number, (day, disturb) in enumerate(zip(days, disturbances, strict=True)):
        if number == 0:
            disturb(troubled, day)
            continue
        with troubled.watched() as seen:
            disturb(troubled, day)
            assert troubled.live() == DAYS[number - 1], f"{disturb.__name__}: the night before stays live"
            assert troubled.run(day) == 0
        assert seen == [DAYS[number - 1], day], "one after the other, nothing between"
    last = [record.newest(site.nights, days[-1]).night for site in (quiet, troubled)]
    for part in ("dataset", "predictions"):
        files = [json.loads(Path(getattr(night, part), "manifest.json").read_text())["files"] for night in last]
        assert files[0] == files[1] and files[0], part
    assert all(
        json.loads(Path(night.model, "manifest.json").read_text())["start"]["users"]["carried_over"] > 50
        for night in last
    ), "started warm"
    left = [path.name for path in troubled.root.rglob("*") if path.suffix in (".partial", ".lock", ".replaced")]
    assert not left, "no leftovers"
