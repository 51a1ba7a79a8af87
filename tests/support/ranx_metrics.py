"""The metrics of ranx, the oracle of evaluation, without compilation, which takes a minute; the lists are short."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numba
import pytest


def evaluate(
    relevant: Mapping[str, Mapping[str, int]], lists: Mapping[str, Mapping[str, float]], metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return each user's value by metric.

    Args:
        relevant: user -> item -> 1. lists: user -> item -> score, the best has the highest.
        metrics: such as recall@10.
    """
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        patch.setattr(numba.config, "DISABLE_JIT", True)
        import ranx

        run = ranx.Run(lists)
        values = ranx.evaluate(ranx.Qrels(relevant), run, list(metrics), return_mean=False)
        return {metric: dict(zip(run.keys(), map(float, values[metric]), strict=True)) for metric in metrics}
