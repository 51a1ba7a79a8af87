"""Rows and bytes that each step emits, as Beam counters: the runner shows them while a job runs.

The manifest keeps them, so that a reader sees which step moves most bytes and what a larger job will shuffle.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cached_property
from typing import Any

_NAMESPACE = "wals"
TALLY: Counter[str] = Counter()  # rows by step so far, and files read, of a job in this process; for its display alone


class StepCounter:
    """The counters of one step. Pickled copies add to the same counters. Without Beam nothing is counted."""

    def __init__(self, step: str):
        self._step = step

    @cached_property
    def _counters(self) -> list[Any]:
        if not sys.modules.get("apache_beam"):  # the step runs without a job (`wals score`), which needs no Beam
            return []
        from apache_beam.metrics import Metrics

        return [Metrics.counter(_NAMESPACE, f"{self._step}.{unit}") for unit in ("rows", "bytes")]

    def add(self, rows: int, size: int) -> None:
        """Add rows and their bytes."""
        TALLY[self._step] += rows
        for counter, number in zip(self._counters, (rows, size), strict=False):
            counter.inc(number)


def by_step(result: Any) -> dict[str, dict[str, int]]:
    """Return rows and bytes by step of a finished job; a runner without counters returns fewer steps."""
    from apache_beam.metrics import MetricsFilter

    steps: dict[str, dict[str, int]] = {}
    for metric in result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE)).get("counters", []):
        step, _, unit = metric.key.metric.name.partition(".")
        counts = steps.setdefault(step, {})
        counts[unit] = counts.get(unit, 0) + (metric.committed or metric.attempted or 0)
    return dict(sorted(steps.items()))
