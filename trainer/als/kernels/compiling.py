"""The Numba decorators of the kernels, and the processor's prefetch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from artifacts.checksums import crc32c

# nogil: threads are Python's own, so nothing here depends on a threading layer. error_model: a division by zero
# gives inf as in NumPy, and the loops stay free of branches.
_OPTIONS = {"nogil": True, "fastmath": True, "error_model": "numpy"}
# For what only compiled code calls: an entry point for Python would add a tenth to the compile time.
inner = numba.njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
# For what a kernel uses once: inlined before types are inferred, it costs no compilation of its own.
pasted = numba.njit(inline="always")


def compiled(function: Callable) -> Any:
    """Compile an entry point; its machine code is cached on disk until any module of this package changes.

    Numba itself compares only the file of the cached function, not the files of the functions that it calls.
    """
    dispatcher = numba.njit(**_OPTIONS, cache=True)(function)
    sources = sorted(Path(__file__).parent.glob("*.py"))
    dispatcher._cache._cache_file._source_stamp = crc32c(b"".join(path.read_bytes() for path in sources))
    return dispatcher


@intrinsic
def _prefetch_line(typing, address):
    """Ask for the cache line at an address, int64, without waiting for it."""

    def generate(context, builder, signature, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(prefetch, [builder.inttoptr(arguments[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inner
def prefetch(table, row):
    """Ask for the start of a row of a float32 [n, k] table; the processor itself continues along a long row."""
    start = np.int64(table.ctypes.data) + np.int64(4) * table.shape[1] * row
    for line in range(min(4, (table.shape[1] + 15) // 16)):
        _prefetch_line(start + np.int64(64) * line)
