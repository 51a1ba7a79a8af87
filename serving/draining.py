"""A server that goes on answering for a while after it is told to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import uvicorn

from serving.models.service import Service


class DrainingServer(uvicorn.Server):
    """uvicorn's server. At SIGTERM /readyz answers 503 for `serving.drain_seconds`; then requests end and it stops.

    A second signal, and Ctrl-C, stop it at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        seconds = self._service.settings.drain_seconds
        if sig != signal.SIGTERM or not seconds or self._service.draining:
            super().handle_exit(sig, frame)
            return
        self._service.draining = True
        timer = threading.Timer(seconds, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()
