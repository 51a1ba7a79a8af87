"""Rows and bytes that each step gives on, as Beam's counters: the runner shows them while a job runs.

The manifest keeps them, so that one can see where the bytes go, and what a larger job will shuffle.
"""

from __future__ import annotations

from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

_NAMESPACE = "wals"


class Traffic:
    """The counters of one step. Its pickles count into the same ones."""

    def __init__(self, step: str):
        self._rows, self._bytes = (Metrics.counter(_NAMESPACE, f"{step}.{what}") for what in ("rows", "bytes"))

    def count(self, rows: int, size: int) -> None:
        """Adds rows and their bytes."""
        self._rows.inc(rows)
        self._bytes.inc(size)


def of_job(result: Any) -> dict[str, dict[str, int]]:
    """Rows and bytes by step of a job that has ended; fewer where its runner keeps no counters."""
    steps: dict[str, dict[str, int]] = {}
    for found in result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE)).get("counters", []):
        step, _, what = found.key.metric.name.partition(".")
        counts = steps.setdefault(step, {})
        counts[what] = counts.get(what, 0) + (found.committed or found.attempted or 0)
    return dict(sorted(steps.items()))
