"""Simulated experiments whose truth is known, measured without files and Beam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from artifacts.manifests.experiment import ExperimentRecord, VariantRecord
from artifacts.manifests.outcome import ExperimentOutcome
from configs.settings import EvaluationSettings
from pipeline.demo.lists.deeds import List, Site
from pipeline.demo.lists.events import rows
from pipeline.demo.lists.habits import Draws, Habits, draw
from pipeline.outcomes import figures
from ranking.experiments.assignment import Experiment
from tests.support.outcome_coverage import DAYS, HABITS, NAME, RUN, START_S, tally_of_events

LENGTH = 4


def trial(
    seed: int, visitors: int = 1000, lift: float = 0.0, lost: float = 0.0, days: int = DAYS, planned: int = 1000
) -> ExperimentOutcome:
    """Simulate an experiment of two variants with a seed, and measure it.

    lift: relative, of what attracts in variant b. lost: share of the visitors of b who are not tracked. days:
    those that are measured, of DAYS. planned: visitors after which the experiment is to be read.
    """
    split = Experiment(f"trial {seed}", f"salt {seed}", ("a", "b"), (0.5, 0.5))
    rng = np.random.default_rng([seed, 3])
    lists = [
        List(f"v{number}", "factors", [f"c{item}" for item in rng.permutation(40)[:LENGTH]])
        for number in range(visitors)
    ]
    variants = [split.variant_of(one.visitor.encode()) for one in lists]
    draws = _drawn(variants, lift, seed)
    gone = (np.array(variants) == "b") & (rng.random(visitors) < lost)
    comes = draws.comes & ~gone[:, None] & (np.arange(DAYS) < days)
    site = Site(NAME, catalogue=[f"new{number}" for number in range(500)])
    events = [row for _, row in rows(lists, draws._replace(comes=comes), START_S, site)]
    record = ExperimentRecord(
        name=split.name,
        salt=split.salt,
        variants={
            name: VariantRecord(share=0.5, model_version=name, is_holdout=False, visitors=variants.count(name))
            for name in split.variants
        },
        excluded=0,
        planned_visitors=planned,
    )
    run = replace(RUN, experiment=record, length=LENGTH)
    tally = tally_of_events(lists, events, "ga4", run, variants)
    settings = EvaluationSettings(k=(LENGTH,), resamples=500, seed=seed)
    return figures.of_tally(tally, (run,), settings, by_exposure=False).experiments[split.name]


def _drawn(variants: list[str | None], lift: float, seed: int) -> Draws:
    """Return what visitors do; those of variant b are attracted by `lift` more."""
    attraction = HABITS.attraction["factors"]
    habits = Habits(attraction={"a": attraction, "b": attraction * (1 + lift)}, buys_late=0.0)
    return draw(habits, [variant or "a" for variant in variants], LENGTH, DAYS, np.random.default_rng([seed, 4]))


def rejects(outcome: ExperimentOutcome, metric: str, always: bool = False) -> bool:
    """Return whether the interval of a difference excludes 0; always: the one that is valid at every look."""
    one = outcome.variants["b"].differences[metric]
    low, high = (one.always_low, one.always_high) if always else (one.low, one.high)
    return not low <= 0 <= high
