"""Work on all cores by Python threads.

BLAS's own threads keep spinning for a while after each product, on the cores that the row solvers then need: they cost
a third of a sweep (k = 64, two cores). So BLAS gets one thread, and blocks are distributed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from ranking.machine import cores

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def each(function: Callable[[_In], _Out], items: Iterable[_In], threads: int | None = None) -> list[_Out]:
    """Return the function's results in the order of the items.

    Args:
        threads: None for one per core. BLAS has one thread in each.
    """
    items = list(items)
    with blas_threads(1):
        if threads == 1 or len(items) < 2:
            return [function(item) for item in items]
        return list(_pool(threads or cores()).map(function, items))


def blas_threads(count: int) -> AbstractContextManager:
    """Return a context in which BLAS has `count` threads."""
    return _blas().limit(limits=count, user_api="blas")


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="wals")
