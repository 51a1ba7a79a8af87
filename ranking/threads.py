"""Work on all cores by Python threads.

BLAS's own threads keep spinning for a while after each product, on the cores that the next work needs: they cost a
third of a sweep (k = 64, two cores). So BLAS gets one thread, and blocks are distributed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from ranking.machine import cores

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# A call uses all cores. Beam's threads would only divide them, and BLAS's number of threads belongs to the process.
# The lock also bounds memory, however many bundles run in a worker.
_ONE_CALL = threading.Lock()


def each(function: Callable[[_In], _Out], items: Iterable[_In], threads: int | None = None) -> list[_Out]:
    """Return the function's results in the order of the items; other callers wait until all items are done.

    threads: None for one per core. BLAS has one thread in each.
    """
    items = list(items)
    with _ONE_CALL, blas_threads(1):
        if threads == 1 or len(items) < 2:
            return [function(item) for item in items]
        return list(_pool(threads or cores()).map(function, items))


def shared(function: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """Return what `each` does for work without BLAS: small enough for a request, so that no caller waits for others."""
    if len(items) < 2:
        return [function(item) for item in items]
    return list(_pool(cores()).map(function, items))


def blas_threads(count: int) -> AbstractContextManager:
    """Return a context in which BLAS has `count` threads."""
    return _blas().limit(limits=count, user_api="blas")


_blas = cache(ThreadpoolController)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="ranking")
