"""The processor cores and the memory that this process may use."""

from __future__ import annotations

import os


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
