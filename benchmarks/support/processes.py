"""Commands run as processes of their own: their seconds, processor seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

from benchmarks.support import machine


def run(command: list[str]) -> dict[str, float]:
    """Wall seconds, processor seconds and peak memory of a command and its children; ends the run where it fails."""
    environment = os.environ | {"PYTHONPATH": str(machine.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as said:
        before, started = os.times(), time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        watcher = _Watcher(process)
        watcher.start()
        process.wait()
        seconds, after = time.perf_counter() - started, os.times()
        watcher.join()
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)[:200]} failed:\n{said.read()[-2000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu_seconds": used, "peak_gb": watcher.peak / 1e9}


class _Watcher(threading.Thread):
    """Follows the resident memory of a process and its children until it ends."""

    def __init__(self, process: subprocess.Popen):
        super().__init__(daemon=True)
        self._process, self.peak = process, 0

    def run(self) -> None:
        while self._process.poll() is None:
            self.peak = max(self.peak, machine.resident_of_tree(self._process.pid))
            time.sleep(0.05)
