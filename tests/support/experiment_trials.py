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
from pipeline.outcomes.measures.tally import BUCKETS, Tally
from pipeline.outcomes.measures.variants import CAME, EXPERIMENT, SHOWN
from ranking.experiments.assignment import Experiment
from tests.support.outcome_coverage import DAYS, HABITS, NAME, RUN, START_S, tally_of_events

LENGTH = 4
VARIANTS = ("a", "b")


def trial(
    seed: int,
    visitors: int = 1000,
    lift: float = 0.0,
    lost: float = 0.0,
    days: int = DAYS,
    planned: int = 1000,
    by_events: bool = False,
    salt: int = 0,
) -> ExperimentOutcome:
    """Simulate an experiment of two variants with a seed, and measure it.

    lift: relative, of what attracts in variant b. lost: share of the visitors of b who are not tracked. days: those
    that are measured, of DAYS. planned: visitors after which the experiment is to be read. by_events: measure the
    events of an export, not the sums that follow from the draws, in fifty times as long. salt: of the split, by which
    the same visitors are split again.
    """
    split = Experiment(f"trial {seed}", f"salt {seed}" + f" {salt}" * (salt > 0), VARIANTS, (0.5, 0.5))
    rng = np.random.default_rng([seed, 3])
    lists = [
        List(f"v{number}", "factors", [f"c{item}" for item in rng.permutation(40)[:LENGTH]])
        for number in range(visitors)
    ]
    variants = [split.variant_of(one.visitor.encode()) for one in lists]
    draws = _drawn(variants, lift, seed)
    gone = (np.array(variants) == "b") & (rng.random(visitors) < lost)
    comes = draws.comes & ~gone[:, None] & (np.arange(DAYS) < days)
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
    if by_events:
        site = Site(NAME, catalogue=[f"new{number}" for number in range(500)])
        events = [row for _, row in rows(lists, draws._replace(comes=comes), START_S, site)]
        tally = tally_of_events(lists, events, "ga4", run, variants)
    else:
        tally = _sums(split.name, variants, draws._replace(comes=comes))
    settings = EvaluationSettings(k=(LENGTH,), resamples=100, seed=seed)  # of no difference
    return figures.of_tally(tally, (run,), settings, by_exposure=False).experiments[split.name]


def _sums(name: str, variants: list[str | None], draws: Draws) -> Tally:
    """Return the sums that follow from draws: an item is new to a visitor once, and what is found is a new one."""
    tally, of_visitor = Tally(), np.array([VARIANTS.index(variant or "") for variant in variants])
    clicks, comes = draws.clicks & draws.comes[:, :, None], draws.comes.sum(1).astype(float)
    items = clicks.any(1).sum(1) + (~np.isnan(draws.finds) & draws.comes & ~draws.listed).sum(1).astype(float)
    one, active = np.ones(len(variants)), (items > 0).astype(float)
    buckets = np.arange(len(variants)) % BUCKETS
    shown = [(comes > 0).astype(float), comes * LENGTH, clicks.sum((1, 2)).astype(float)]
    for figure, columns in ((CAME, [one, active, one, active, items, active]), (SHOWN, shown)):
        rows_of = np.flatnonzero(shown[0]) if figure == SHOWN else np.arange(len(variants))
        key = EXPERIMENT, name, figure
        each = [column[rows_of] for column in columns]
        tally.add_groups(key, list(VARIANTS), of_visitor[rows_of], buckets[rows_of], each)
    return tally


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
