"""Running a step as a process of its own, which dies with its parent.

The step of a night that was killed would otherwise run on unseen and hold the lock on its output. Linux's
PR_SET_PDEATHSIG kills it at once, and stays set over exec. Other systems have no such call; there the step runs to its
end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from configs import PREFIX

_PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 30.0  # for a stopped step to end by itself: a training writes its checkpoint

Execute = Callable[[Sequence[str], Callable[[str], None], float], int]


def execute(command: Sequence[str], say: Callable[[str], None], timeout_s: float) -> int:
    """Run `python -m MODULE FLAGS` and return its exit status.

    The process is stopped (SIGTERM, then SIGKILL) at the time limit, or if this process is told to stop; if this
    process is killed, it dies too. Each line that it prints is passed to `say`.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    expired = threading.Event()
    leashed = [sys.executable, "-m", f"{PREFIX}nightly.steps.process", str(os.getpid()), *command]
    with subprocess.Popen(  # noqa: S603 - our own modules, no shell
        leashed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:

        def expire() -> None:
            expired.set()
            _stop(process)

        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout or ():
                say(line.rstrip("\n"))
            return process.wait()
        finally:
            timer.cancel()
            if expired.is_set():
                say(f"stopped after {timeout_s / 60:g} minutes (nightly.step_timeout_minutes)")
            _stop(process)


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Replace this process with `python -m MODULE FLAGS`; the arguments are the parent's id, MODULE and FLAGS."""
    parent, module, *flags = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it died before the call
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", f"{PREFIX}{module}", *flags])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
