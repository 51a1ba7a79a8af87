"""Runs a module that dies with its parent: python -m nightly.leash PARENT MODULE FLAGS

A step whose night was killed would go on unseen and hold its output, so that the next run finds it locked. Linux's
PR_SET_PDEATHSIG ends it at once; it stays set over exec. Other systems have no such thing: there a step ends by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Becomes the module, as `python -m MODULE FLAGS`."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
