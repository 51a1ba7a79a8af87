"""Worker processes that listen on one socket. Tables that they map are in memory once."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from configs.errors import UserError
from configs.settings import Settings

LOG = logging.getLogger("serving")
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client adds up the workers' metrics
_SHORT_S = 5.0  # a worker that lived no longer is started again after a pause
_POLL_S = 0.5

Serve = Callable[[Settings, bool, socket.socket], None]


def run(settings: Settings, required_catalogue: bool, listening: socket.socket, serve: Serve) -> int:
    """Run `serving.workers` processes until this one is told to stop; return its exit status.

    A worker that ends is started again, unless it cannot start for a mistake in the settings.
    """
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopped.append(received))
    context, status = multiprocessing.get_context("spawn"), 0  # a fork would copy BLAS's threads as dead ones

    def start() -> tuple[BaseProcess, float]:
        process = context.Process(target=serve, args=(settings, required_catalogue, listening), daemon=False)
        process.start()
        return process, time.monotonic()

    with tempfile.TemporaryDirectory(prefix="wals-metrics-") as directory:
        os.environ[METRICS_DIRECTORY] = directory
        workers = [start() for _ in range(settings.serving.workers)]
        while not stopped and not status:
            connection.wait([process.sentinel for process, _ in workers], _POLL_S)
            for place, (process, started) in enumerate(workers):
                if process.is_alive() or stopped:
                    continue
                _forget_metrics(process)
                if process.exitcode == UserError.status:
                    status = UserError.status
                    break
                LOG.error("a worker ended (exit status %s); another one starts", process.exitcode)
                time.sleep(1.0 if time.monotonic() - started < _SHORT_S else 0.0)
                workers[place] = start()
        _stop([process for process, _ in workers], settings)
    return status


def _stop(workers: list[BaseProcess], settings: Settings) -> None:
    """Let the workers end their requests, and kill those that do not end in time."""
    serving = settings.serving
    ends = time.monotonic() + serving.drain_seconds + serving.timeout_seconds + 5
    for process in workers:
        if process.is_alive():
            process.terminate()
    for process in workers:
        process.join(max(0.0, ends - time.monotonic()))
        process.kill()


def _forget_metrics(process: BaseProcess) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(process.pid)
