"""Start a module that dies with its parent: python -m nightly.steps.leash PARENT MODULE FLAGS

The step of a night that was killed would otherwise run on unseen and hold the lock on its output. Linux's
PR_SET_PDEATHSIG kills it at once, and stays set over exec. Other systems have no such call; there the step runs to its
end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process with `python -m MODULE FLAGS`."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it died before the call
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
