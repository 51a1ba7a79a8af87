"""SIGTERM in training, as Vertex AI and Kubernetes send it before they take a machine away: a checkpoint, and out."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_GRACE_SECONDS = 15  # for the sweep that is at work; the machine is gone after 20 to 30
STATUS = 128 + signal.SIGTERM


class Preemption:
    """Notes a SIGTERM while its block runs; `told` says whether one came.

    Whoever sees `told` writes a checkpoint and calls `leave`. Where nobody does for 15 seconds, the process ends by
    itself: the last pass's checkpoint stands.

    Args:
        at_once: end without waiting for anybody: a checkpoint of several workers needs all of them.
    """

    def __init__(self, at_once: bool = False):
        self.told = False
        self._at_once = at_once
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():  # Python lets no other one handle signals
            for number, handler in ((signal.SIGTERM, self._tell), (signal.SIGALRM, self._late)):
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def leave(self) -> None:
        """Ends the process with status 143, as a SIGTERM does.

        Raises:
            SystemExit: always.
        """
        raise SystemExit(STATUS)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self.told = True
        if self._at_once:
            self.leave()
        signal.alarm(_GRACE_SECONDS)

    def _late(self, number: int, frame: FrameType | None) -> None:
        self.leave()
