"""A forked process behaves as one that `subprocess` starts; each test asks both."""

import multiprocessing.util
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.support import forkserver

BOTH = pytest.mark.parametrize("start", [subprocess, forkserver], ids=["subprocess", "forkserver"])
_FACTS = "__import__('os').getpid(), 'tensorflow' in __import__('sys').modules"
SAY = """
import os, sys
print(sys.argv, os.getcwd(), os.environ.get("COLOUR"), sorted(os.environ) == sorted(set(os.environ)), __name__)
print(sys.stdin.read(), file=sys.stderr)
sys.exit(7)
"""


@BOTH
def test_it_has_its_own_arguments_directory_environment_and_status(start, tmp_path):
    done = start.run(
        [sys.executable, "-c", SAY, "a", "b c"],
        input="question",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"COLOUR": "blue"},
    )
    assert done.stdout == f"['-c', 'a', 'b c'] {tmp_path} blue True __main__\n"
    assert done.stderr == "question\n"
    assert done.returncode == 7
    with pytest.raises(subprocess.CalledProcessError):
        done.check_returncode()


@BOTH
@pytest.mark.parametrize(
    ("code", "status", "last"),
    [("pass", 0, ""), ("raise SystemExit('no')", 1, "no"), ("1 / 0", 1, "ZeroDivisionError: division by zero")],
)
def test_how_the_code_ends_is_the_exit_status(start, code, status, last):
    done = start.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr.strip().rpartition("\n")[2] == last


@BOTH
def test_a_module_and_a_script_find_their_neighbours(start, tmp_path):
    (tmp_path / "helper.py").write_text("word = 'found'\n")
    (tmp_path / "script.py").write_text("import sys, helper\nprint(helper.word, sys.argv[1:], __name__)\n")
    for command in (["-m", "script", "x"], [str(tmp_path / "script.py"), "x"]):
        done = start.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("found ['x'] __main__\n", "")


@BOTH
def test_a_signal_ends_it_and_output_so_far_is_there(start):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with start.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert int(process.stdout.readline()) == process.pid
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@BOTH
def test_an_interrupt_is_a_keyboard_interrupt_and_a_new_session_a_group(start, tmp_path):
    code = """import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background of a shell ignores it
try: print(flush=True); time.sleep(600)
except KeyboardInterrupt: print('interrupted')
"""
    command = [sys.executable, "-c", code]
    with start.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        process.stdout.readline()
        assert os.getsid(process.pid) == process.pid
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
    assert process.returncode == 0


@BOTH
def test_exit_functions_and_threads_end_before_it(start):
    code = "import atexit, threading, time\natexit.register(print, 'last')\n"
    code += "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()"
    done = start.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout.split() == ["thread", "last"]


@BOTH
def test_output_is_held_back_unless_the_environment_says_otherwise(start):
    code = "import os; print('printed'); os.write(1, b'written\\n')"
    for unbuffered, order in ((False, ["written", "printed"]), (True, ["printed", "written"])):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
        done = start.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.stdout.split() == order


@BOTH
def test_time_that_runs_out_kills_it(start):
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        start.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.2)
    assert time.monotonic() - started < 60


def test_multiprocessing_spawns_by_it(monkeypatch):
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", forkserver.spawn)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pid, has_libraries = pool.submit(eval, _FACTS).result()
    assert pid != os.getpid() and has_libraries


def test_the_libraries_are_there_and_this_projects_modules_are_not():
    code = (
        "import sys; print([m in sys.modules for m in ('tensorflow', 'apache_beam', 'configs', 'pipeline', 'tests')])"
    )
    done = forkserver.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[True, True, False, False, False]\n"
    with pytest.raises(ValueError, match="runs Python alone"):
        forkserver.run(["true"])
