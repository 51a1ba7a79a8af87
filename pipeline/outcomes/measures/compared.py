"""Exposures whose propensity is known, next to the lists of another version: sums for off-policy estimates.

A round is an exposure of a slot: the visitor and the rank of the item in the list. The other version's item at the same
rank is what it would have shown there.
"""

from __future__ import annotations

import numpy as np

from pipeline.outcomes.live.lists import COMPARED, PROPENSITY, RANK, RUN
from pipeline.outcomes.measures.shard import Live, Shard
from pipeline.outcomes.measures.tally import Tally

# Keys of the sums, after COMPARED_KEY. Cells, of the predicted reward: by rank, and by the place among the items.
COMPARED_KEY, WHOLE, LOGGED, EXPECTED = "compared", "whole", "logged", "expected"
ROUNDS, WEIGHTS, REWARDS = range(3)  # columns of WHOLE; EXPECTED has the first
CELL_ROUNDS, CELL_CLICKS, CELL_WEIGHTS = range(3)  # columns of LOGGED
_RANKS, _GROUPS = 20, 22  # that are told apart: items by the logarithm of their index, and the new ones


def measure(shard: Shard, live: Live, run: np.ndarray, place: np.ndarray, clicked: np.ndarray, tally: Tally) -> None:
    """Add rounds: exposures [n] by their run and their row of `predicted`, -1 for none; clicked: bool [n]."""
    if not live.options.compare:
        return
    table = shard.tables.predicted
    numbers, ranks = table[RUN].to_numpy(), table[RANK].to_numpy().astype(np.int64)
    visitors, items = shard.visitors_of("predicted"), shard.items_of("predicted")
    compared = np.array([one.is_compared for one in live.runs], bool)
    rows = np.flatnonzero(compared[run] & (place >= 0))
    tally.counts["compared.skipped.not_in_predictions"] += int((compared[run] & (place < 0)).sum())
    place, run, clicked = place[rows], run[rows], clicked[rows]
    others = np.flatnonzero(numbers == COMPARED)
    width = int(ranks.max(initial=0)) + 1
    keys = visitors * width + ranks
    order = others[np.argsort(keys[others], kind="stable")]
    at = np.searchsorted(keys[order], keys[place])
    at = np.minimum(at, len(order) - 1)
    there = keys[order[at]] == keys[place] if len(order) else np.zeros(len(place), bool)
    tally.counts["compared.skipped.slot_not_in_the_other_lists"] += int((~there).sum())
    place, run, reward, other = place[there], run[there], clicked[there].astype(float), order[at[there]]
    propensity = table[PROPENSITY].take(place).fill_null(1.0).to_numpy()
    weight = (items[other] == items[place]) / propensity
    buckets = shard.buckets[visitors[place]]
    one = np.ones(len(place))
    tally.add((COMPARED_KEY, WHOLE, WHOLE), buckets, [one, weight, weight * reward])
    names = [f"{rank}\t{group}" for rank in range(_RANKS + 1) for group in range(_GROUPS)]
    for key, of_row, columns in ((LOGGED, place, [one, reward, weight]), (EXPECTED, other, [one])):
        groups = np.zeros(len(of_row), np.int64)
        for number in np.unique(run).tolist():
            at_run = run == number
            groups[at_run] = _groups(live.items[number].codes_of(shard.items), live.runs[number].items)[
                items[of_row[at_run]]
            ]
        cells = np.minimum(ranks[place], _RANKS) * _GROUPS + groups
        tally.add_groups((COMPARED_KEY, key), names, cells, buckets, columns)


def _groups(codes: np.ndarray, size: int) -> np.ndarray:
    """Return the group of items by their index, which is in the order of visitors, int64 [n]; new ones are the last."""
    groups = np.minimum(np.log2(codes + 1.0).astype(np.int64), _GROUPS - 2)
    return np.where(codes < size, groups, _GROUPS - 1)
