"""Nights and steps that die on their way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightly.runs import live, outputs, record
from nightly.steps import process
from tests.support.nights import Site, read_output


def test_a_step_that_takes_too_long_is_stopped(tmp_path):
    said = []
    (tmp_path / "sleeper.py").write_text("import time\nprint('asleep', flush=True)\ntime.sleep(60)\n")
    begin = time.monotonic()
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        assert process.execute(["sleeper"], said.append, 1.5) == -signal.SIGTERM
    finally:
        del os.environ["PYTHONPATH"]
    assert time.monotonic() - begin < 30
    assert said[-1] == "stopped after 0.025 minutes (nightly.step_timeout_minutes)"


def test_a_step_dies_with_a_night_that_is_killed(tmp_path):
    (tmp_path / "sleeper.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    code = "from nightly.steps.process import execute; execute(['sleeper'], lambda line: print(line, flush=True), 600)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as night:
        step = int(night.stdout.readline())
        night.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{step}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Killed(BaseException):
    """An exception that no code of ours catches: the process is gone."""


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory):
    """A site after two nights, and one after the first of them, with a copy of its directory."""
    root = tmp_path_factory.mktemp("nights")
    undisturbed, disturbed = Site(root / "a"), Site(root / "b")
    for site in (undisturbed, disturbed):
        assert site.run(site.day(2)) == 0
    assert undisturbed.run(undisturbed.day(3)) == 0
    return undisturbed, disturbed, shutil.copytree(disturbed.root, root / "copy")


@pytest.fixture
def sites(two_nights):
    """The undisturbed site, and the other one as it was after its first night."""
    undisturbed, disturbed, copy = two_nights
    shutil.rmtree(disturbed.root)
    shutil.copytree(copy, disturbed.root)
    return undisturbed, disturbed


@pytest.mark.parametrize("place", range(26))
def test_killed_at_any_write_the_live_one_stays_whole_and_a_rerun_ends_like_an_undisturbed_one(
    sites, monkeypatch, place
):
    """Dies at the place-th replacing of a file (before and after it), and once more in the step that follows."""
    undisturbed, disturbed = sites
    real, left = os.replace, [place]

    def replace(source, target):
        if left[0] == 0:
            if place % 2:
                real(source, target)
            left[0] -= 1
            raise Killed
        left[0] -= 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with contextlib.suppress(Killed):
        disturbed.run(disturbed.day(3))
    monkeypatch.undo()
    version = live.read(disturbed.nights).live
    assert outputs.version_damage(version.model_dir, version.predictions_dir) is None and version.date in (
        disturbed.day(2),
        disturbed.day(3),
    )
    assert disturbed.run(disturbed.day(3)) == 0
    one, other = (record.newest(site.nights, site.day(3)).night for site in (undisturbed, disturbed))
    text = read_output(one.predictions).replace(str(undisturbed.root), str(disturbed.root))
    assert read_output(other.predictions) == text
    assert disturbed.live == undisturbed.live == "2024-01-04.1"
    assert not list(disturbed.root.rglob("*.partial")), "nothing piles up"
