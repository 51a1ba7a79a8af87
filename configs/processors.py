"""How many processor cores there are for us."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use; macOS does not say which, only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
