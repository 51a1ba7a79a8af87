"""Display of experiments and of a comparison, and the lines that warn about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from artifacts.manifests.outcome import Estimate, ExperimentOutcome, OffPolicy, Outcome
from configs import tables
from configs.nouns import counted
from ranking.experiments import verdicts

_SUPPORTED = 0.9  # share of another version's items that could be shown, below which a line states it
Table = tuple[str, Sequence[str], Sequence[tuple[str, ...]]]  # the heading of the names, those of the figures, and rows


def heads(outcome: Outcome) -> Iterator[tuple[str, list[Table]]]:
    """Yield a line and tables for each experiment, and for the version that was compared."""
    for name, experiment in outcome.experiments.items():
        yield f"Experiment {name}, control {experiment.control}", list(_of_experiment(experiment))
    if outcome.compared:
        one = outcome.compared
        rounds = counted(one.rounds, "exposure")
        yield f"Version {one.version} at the slots of {rounds}, by what was shown at random", [_of_compared(one)]


def _of_experiment(experiment: ExperimentOutcome) -> Iterator[Table]:
    sizes = [
        (name, f"{one.share:.1%}", f"{one.visitors:,}", f"{one.active:,}", f"{one.exposed:,}")
        for name, one in experiment.variants.items()
    ]
    yield "variant", ("share", "visitors", "active", "exposed"), sizes
    metrics = dict.fromkeys(metric for one in experiment.variants.values() for metric in one.metrics)
    for metric in metrics:
        rows = []
        for name, one in experiment.variants.items():
            if metric in one.metrics:
                difference, always = one.differences.get(metric), ""
                if difference:
                    always = tables.interval(difference.always_low, difference.always_high, "+.3f")
                rows.append((name, _value(one.metrics[metric]), *_signed(difference), always))
        yield metric, ("value", "difference", "if read once", "at any time"), rows


def _of_compared(one: OffPolicy) -> Table:
    names = {"as shown": one.shown, "IPS": one.ips, "SNIPS": one.snips, "doubly robust": one.dr}
    rows = [(name, _value(estimate), _limits(estimate)) for name, estimate in names.items()]
    rows.append(("could be shown", _value(one.support), _limits(one.support)))
    return "clicks per exposure", ("value", "interval"), rows


def warnings(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each thing that keeps an experiment or a comparison from being read, with what to do."""
    for name, experiment in outcome.experiments.items():
        yield from verdicts.warnings(name, experiment)
    support = outcome.compared.support.value if outcome.compared else None
    if support is not None and support < _SUPPORTED:
        yield (
            f"only {support:.0%} of the items of the version that is compared could be shown in their slots: IPS takes "
            "the others for not clicked, SNIPS leaves them out, and doubly robust predicts them"
        )


def _value(estimate: Estimate | None, sign: str = "") -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:{sign}.4f}"


def _limits(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return tables.interval(estimate.low, estimate.high, f"{sign}.3f")


def _signed(estimate: Estimate | None) -> tuple[str, str]:
    return _value(estimate, "+"), _limits(estimate, "+")
