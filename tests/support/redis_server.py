"""A real Redis on loopback, that a test can stop, kill and start again with the same data."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server")


def free_port() -> int:
    """Return a port of loopback that no process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class RedisServer:
    """A server that writes each command to its append-only file before it answers."""

    def __init__(self, root: Path, *flags: str):
        self._root, self._flags = root, flags
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        own = ["--port", str(self.port), "--dir", str(self._root), "--save", "", "--appendonly", "yes"]
        command = [PROGRAM, *own, "--appendfsync", "always", *self._flags]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        ends = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < ends, "Redis did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a loss of power does, apart from the disk's own cache."""
        if self._process:
            self._process.kill()
            self._process.wait(30)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


@contextlib.contextmanager
def running(root: Path, *flags: str) -> Iterator[RedisServer]:
    """Run a server; skip the test if Redis or its client is not installed."""
    if PROGRAM is None:
        pytest.skip("no redis-server; make system installs it")
    pytest.importorskip("redis", reason="no package redis; make setup installs it")
    server = RedisServer(root, *flags)
    server.start()
    try:
        yield server
    finally:
        server.kill()
