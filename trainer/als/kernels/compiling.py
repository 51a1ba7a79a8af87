"""The Numba decorators of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

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
