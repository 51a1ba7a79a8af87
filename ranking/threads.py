"""Threads for one block of work at a time, with one BLAS thread each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import threadpoolctl

from ranking.machine import cores

# A block uses all cores. Beam's threads would only divide them, and BLAS's number of threads belongs to the process.
# The lock also bounds memory, however many bundles run in a worker.
_ONE_BLOCK = threading.Lock()


def on_all_cores(work: Callable[[int], None], pieces: Iterable[int]) -> None:
    """Run `work` on each piece of a block, on all cores; other callers wait until the block is done.

    BLAS gets one thread: its own threads keep spinning for a while after each product, on cores that others need.
    """
    with _ONE_BLOCK, threadpoolctl.threadpool_limits(1, "blas"):
        list(_pool().map(work, pieces))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="ranking")
