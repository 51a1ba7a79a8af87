"""The experiments of an outcome: variants with their differences from the control, and whether these can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from artifacts.manifests.outcome import Difference, ExperimentOutcome, Outcome
from ranking.experiments import verdicts
from ranking.experiments.statistics import MISMATCH
from report.charts import Interval
from report.quality.cells import CHANGE, VALUE, Row, Table, of_estimate


class Tested(NamedTuple):
    """An experiment. verdicts: sentences and their class; tables: one per metric."""

    name: str
    verdicts: list[tuple[str, str]]
    tables: list[Table]


def tested(outcome: Outcome) -> list[Tested]:
    """Return the experiments of an outcome."""
    return [Tested(name, list(_verdicts(name, one)), list(_tables(one))) for name, one in outcome.experiments.items()]


def _verdicts(name: str, experiment: ExperimentOutcome) -> Iterator[tuple[str, str]]:
    mismatch = experiment.mismatch
    if mismatch and min(mismatch.values()) >= MISMATCH:
        found = ", ".join(f"p = {value:.2g} {group}" for group, value in mismatch.items())
        yield f"Visitors are split as asked ({found}).", "good"
    for line in verdicts.warnings(name, experiment):
        yield f"{line[0].upper()}{line[1:]}.", "bad"
    if len(experiment.variants) > 1 and not any(one.differences for one in experiment.variants.values()):
        yield "No two variants can be compared yet.", "bad"


def _tables(experiment: ExperimentOutcome) -> Iterator[Table]:
    names = ["value", f"minus {experiment.control}, if read once", "at any time"]
    for metric in dict.fromkeys(metric for one in experiment.variants.values() for metric in one.metrics):
        rows = []
        for name, one in experiment.variants.items():
            if metric in one.metrics:
                of_visitors = f"{one.visitors:,} with a list, {one.active:,} came, {one.exposed:,} exposed"
                difference = one.differences.get(metric)
                cells = [of_estimate(one.metrics[metric]), of_estimate(difference), _at_any_time(difference)]
                rows.append(Row(f"{name}: {one.share:.0%} asked, {of_visitors}", cells))
        yield Table(metric.capitalize(), "variant", names, [VALUE, CHANGE, CHANGE], rows)


def _at_any_time(difference: Difference | None) -> Interval | None:
    if difference is None or difference.value is None:
        return None
    return Interval(difference.value, difference.always_low, difference.always_high)
