"""Warnings about experiments: visitors who are not split as asked, who changed their variant, and who peeks."""

from __future__ import annotations

from collections.abc import Iterator

from artifacts.manifests.outcome import ExperimentOutcome
from ranking.experiments.statistics import MISMATCH


def warnings(name: str, experiment: ExperimentOutcome) -> Iterator[str]:
    """Yield a line for each thing that keeps an experiment from being read, with what to do."""
    if experiment.changed:
        why = ", since its shares changed" if experiment.shares_changed else ""
        yield f"experiment {name}: {experiment.changed:,} visitors changed their variant{why}; they are left out"
    for group, value in experiment.mismatch.items():
        if value < MISMATCH:
            yield (
                f"experiment {name}: visitors {group} are not split as asked (p = {value:.1g}); its differences "
                "mean nothing until you know what loses visitors of one variant"
            )
    for variant, metric, visitors in peeked(experiment):
        yield (
            f"experiment {name}: {metric} of {variant} differs if read once, after {visitors:,} of "
            f"{experiment.planned_visitors:,} planned visitors, and does not at any time; wait for the plan"
        )


def peeked(outcome: ExperimentOutcome) -> Iterator[tuple[str, str, int]]:
    """Yield variant, metric and visitors of each difference that only the fixed interval finds, before the plan."""
    for name, variant in outcome.variants.items():
        for metric, one in variant.differences.items():
            if one.low is None or one.high is None or one.visitors >= outcome.planned_visitors:
                continue
            if not one.low <= 0 <= one.high and one.always_low <= 0 <= one.always_high:
                yield name, metric, one.visitors
