"""The visitors of an experiment by variant: what each was shown, clicked and came for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from pipeline.outcomes.live.lists import RUN, VARIANT
from pipeline.outcomes.live.runs import Run
from pipeline.outcomes.measures.shard import Live, Shard
from pipeline.outcomes.measures.tally import Tally
from ranking.experiments.assignment import Experiment

EXPERIMENT = "experiment"  # first part of the keys of the sums; then the name, the figure and the variant
CAME, SHOWN = "came", "shown"  # figures
# Columns of the sums: of visitors, then of their lists, or of their exposures. ACTIVE came for something new.
VISITORS, ACTIVE_VISITORS, LISTS, ACTIVE, ITEMS, HITS = range(6)
EXPOSED, EXPOSURES, CLICKS = range(3)
NOT_IN_IT = -1


class Members(NamedTuple):
    """An experiment: its runs, its variants, and the variant of each visitor of a shard, int64; NOT_IN_IT for none."""

    name: str
    runs: list[int]
    variants: list[str]
    of_visitor: np.ndarray

    def add(self, figure: str, columns: np.ndarray, shard: Shard, tally: Tally) -> None:
        """Add columns float64 [visitors, c] of the visitors who have some."""
        rows = np.flatnonzero((self.of_visitor != NOT_IN_IT) & columns.any(axis=1))
        key = EXPERIMENT, self.name, figure
        tally.add_groups(key, self.variants, self.of_visitor[rows], shard.buckets[rows], list(columns[rows].T))


def members(shard: Shard, live: Live) -> list[Members]:
    """Return the experiments of the runs; a visitor whose variant changed, or would have, is not in it."""
    return [found for found, _ in _all_members(shard, live)]


def count_changed(shard: Shard, live: Live, tally: Tally) -> None:
    """Count the visitors whose variant changed."""
    for found, changed in _all_members(shard, live):
        tally.counts[f"{EXPERIMENT}.{found.name}.skipped.variant_changed"] += changed


def _all_members(shard: Shard, live: Live) -> list[tuple[Members, int]]:
    by_name: dict[str, list[int]] = {}
    for number, run in enumerate(live.runs):
        if run.experiment:
            by_name.setdefault(run.experiment.name, []).append(number)
    return [_members(name, numbers, shard, live) for name, numbers in by_name.items()]


def _members(name: str, numbers: list[int], shard: Shard, live: Live) -> tuple[Members, int]:
    """Return an experiment, and how many visitors changed their variant."""
    runs = [live.runs[number] for number in numbers]
    variants = list(dict.fromkeys(variant for run in runs if run.experiment for variant in run.experiment.variants))
    table = shard.tables.predicted
    rows = np.flatnonzero(np.isin(table[RUN].to_numpy(), numbers))
    codes = pc.index_in(table[VARIANT].take(rows), value_set=pc.cast(variants, "string"))
    codes = codes.fill_null(NOT_IN_IT).to_numpy().astype(np.int64)
    visitors, size = shard.visitors_of("predicted")[rows], len(shard.visitors)
    lowest, highest = np.full(size, len(variants)), np.full(size, NOT_IN_IT)
    np.minimum.at(lowest, visitors, codes)
    np.maximum.at(highest, visitors, codes)
    changed = (lowest != highest) & (highest != NOT_IN_IT)
    of_visitor = np.where(changed | (lowest == len(variants)), NOT_IN_IT, highest)
    splits = list(dict.fromkeys(_split(run) for run in runs))
    if len(splits) > 1:  # a visitor who came late has one variant, and would have had another
        there = np.flatnonzero(of_visitor != NOT_IN_IT)
        ids = shard.visitors.take(there).to_pylist()
        each = np.array([[split.variant_of(name) for name in ids] for split in splits])
        moved = there[(each != each[0]).any(axis=0)]
        changed[moved], of_visitor[moved] = True, NOT_IN_IT
    return Members(name, numbers, variants, of_visitor), int(changed.sum())


def _split(run: Run) -> Experiment:
    """Return the split of a run."""
    record = run.experiment
    if record is None:
        raise ValueError("the run has no experiment")
    shares = tuple(variant.share for variant in record.variants.values())
    return Experiment(record.name, record.salt, tuple(record.variants), shares)


class Came:
    """Items that the visitors of a shard came for while an experiment ran."""

    def __init__(self, shard: Shard, live: Live):
        self._shard, self._members = shard, members(shard, live)
        self._sums = [np.zeros((len(shard.visitors), HITS + 1)) for _ in self._members]

    def add_run(self, number: int, visitors: np.ndarray, items: np.ndarray, hits: np.ndarray) -> None:
        """Add the visitors of a run with a list, int64 [n], with the items that they came for, and those listed."""
        for found, sums in zip(self._members, self._sums, strict=True):
            if number in found.runs:
                for column, values in ((LISTS, np.ones(len(visitors))), (ACTIVE, items > 0), (ITEMS, items)):
                    sums[visitors, column] += values
                sums[visitors, HITS] += hits > 0

    def finish(self, tally: Tally) -> None:
        """Add all visitors to the tally."""
        for found, sums in zip(self._members, self._sums, strict=True):
            sums[:, VISITORS], sums[:, ACTIVE_VISITORS] = sums[:, LISTS] > 0, sums[:, ACTIVE] > 0
            found.add(CAME, sums, self._shard, tally)


def add_shown(
    shard: Shard, live: Live, run: np.ndarray, visitor: np.ndarray, clicked: np.ndarray, tally: Tally
) -> None:
    """Add exposures [n] and whether they were clicked, by the variant of their visitor."""
    for found in members(shard, live):
        rows = np.isin(run, found.runs)
        size = len(shard.visitors)
        exposures = np.bincount(visitor[rows], minlength=size).astype(float)
        clicks = np.bincount(visitor[rows], clicked[rows].astype(float), size)
        found.add(SHOWN, np.stack([(exposures > 0).astype(float), exposures, clicks], axis=1), shard, tally)
