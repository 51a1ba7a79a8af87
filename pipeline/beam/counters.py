"""Rows and bytes that each step emits, as Beam counters: the runner shows them while a job runs.

The manifest keeps them, so that a reader sees which step moves most bytes and what a larger job will shuffle.
"""

from __future__ import annotations

from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

_NAMESPACE = "wals"


class StepCounter:
    """The counters of one step. Pickled copies add to the same counters."""

    def __init__(self, step: str):
        self._rows, self._bytes = (Metrics.counter(_NAMESPACE, f"{step}.{unit}") for unit in ("rows", "bytes"))

    def add(self, rows: int, size: int) -> None:
        """Add rows and their bytes."""
        self._rows.inc(rows)
        self._bytes.inc(size)


def by_step(result: Any) -> dict[str, dict[str, int]]:
    """Return rows and bytes by step of a finished job; a runner without counters returns fewer steps."""
    steps: dict[str, dict[str, int]] = {}
    for metric in result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE)).get("counters", []):
        step, _, unit = metric.key.metric.name.partition(".")
        counts = steps.setdefault(step, {})
        counts[unit] = counts.get(unit, 0) + (metric.committed or metric.attempted or 0)
    return dict(sorted(steps.items()))
