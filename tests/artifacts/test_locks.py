"""One run at a time on an output."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.storage import locks
from configs.errors import UserError

HOLD = """
import sys, time
from artifacts.storage import locks
with locks.claim(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Start a process that locks tmp_path/out."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_and_a_killed_one_forgotten(tmp_path, other):
    root = str(tmp_path / "out")
    with pytest.raises(UserError, match="another run is at work on it"), locks.claim(root):
        pytest.fail("two runs at once")
    with locks.claim(root + "2"):
        pass  # another output is free
    other.send_signal(signal.SIGKILL)
    other.wait()
    with locks.claim(root):
        assert os.path.exists(root + ".lock")
    assert os.listdir(tmp_path) == []


def test_it_is_free_again_after_an_error(tmp_path):
    root = str(tmp_path / "new" / "out/")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locks.claim(root):
            raise ZeroDivisionError
    assert os.listdir(tmp_path / "new") == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/out cannot be written"), locks.claim(str(tmp_path / "file" / "out")):
        pytest.fail("it is not a directory")
