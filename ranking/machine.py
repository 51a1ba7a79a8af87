"""The processor cores and the memory that this process may use, and the processor's prefetch for Numba."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable


@intrinsic
def prefetch_line(typing: Any, address: Any) -> Any:
    """Ask for the cache line at an address, int64, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(prefetch, [builder.inttoptr(arguments[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@register_jitable
def prefetch(table: Any, row: Any) -> None:
    """Ask for the start of a row of a float32 [n, k] table; the processor itself continues along a long row."""
    start = np.int64(table.ctypes.data) + np.int64(4) * table.shape[1] * row
    for line in range(min(4, (table.shape[1] + 15) // 16)):
        prefetch_line(start + np.int64(64) * line)


def cores() -> int:
    """Return the number of cores this process may run on; macOS reports only how many the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Return the bytes of memory this process may use: the machine's, or its container's if that is less."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                available = min(available, int(file.read()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return available
