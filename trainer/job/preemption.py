"""The end of a training on SIGTERM, which Vertex AI and Kubernetes send before they take a machine away."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_GRACE_SECONDS = 15  # for the current sweep; the machine is taken away after 20 to 30
STATUS = 128 + signal.SIGTERM


class Preemption:
    """Notes a SIGTERM while its block runs: it sets `told`.

    The training then saves a checkpoint and calls `leave`. If it has not done so after 15 seconds, the process ends
    with the last pass's checkpoint. With `at_once` it ends at once, without a checkpoint: one of several workers needs
    all of them.
    """

    def __init__(self, at_once: bool = False):
        self.told = False
        self._at_once = at_once
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():  # signals are handled in the main thread only
            for number, handler in ((signal.SIGTERM, self._tell), (signal.SIGALRM, self._late)):
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def leave(self) -> None:
        """End the process with status 143, as a SIGTERM does."""
        raise SystemExit(STATUS)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self.told = True
        if self._at_once:
            self.leave()
        signal.alarm(_GRACE_SECONDS)

    def _late(self, number: int, frame: FrameType | None) -> None:
        self.leave()
