"""With tracking: exposures in the list of recommendations, the clicks on them, and what followed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.exposures.unclicked import SCHEMA as UNCLICKED
from artifacts.names import AMOUNT, DAY_MS, TIME_MS
from pipeline.interactions.matching import Moments, firsts, last_before
from pipeline.outcomes.live.lists import RANK, RULE, RUN
from pipeline.outcomes.measures import compared, variants
from pipeline.outcomes.measures import items as of_items
from pipeline.outcomes.measures.shard import Live, Shard
from pipeline.outcomes.measures.tally import Tally
from pipeline.sources.lists.rows import (
    CART,
    CLICK,
    EXPOSURE,
    KIND,
    KINDS,
    NO_POSITION,
    OURS,
    POSITION,
    PURCHASE,
    VALUE,
    VERSION,
)

SHOWN, DUE = "shown", "due"  # figures
CELL, DAY = "cell", "day"  # groups of the first: by rule and rank, and by day
NOT_PREDICTED = "not in the predictions"
DWELL = "dwell"
_HOUR_MS = 3_600_000


class Exposures(NamedTuple):
    """Exposures [n] in our list: their moments, and int64 each the run, the rank, 0 if it is unknown, and codes.

    rule: a place in `rules`. place: the row of `predicted`, -1 for none.
    """

    moments: Moments
    run: np.ndarray
    rank: np.ndarray
    rule: np.ndarray
    visitor: np.ndarray
    item: np.ndarray
    place: np.ndarray
    rules: list[str]


class Following(NamedTuple):
    """Events [n] that may follow a touch: their kind, their moments, and their values, NaN where there is none."""

    kind: str
    moments: Moments
    values: np.ndarray


class Touched(NamedTuple):
    """Exposures, the touches [t] that something can be due to, and the exposure of each touch, int64 [t]."""

    exposures: Exposures
    touches: Moments
    exposure: np.ndarray


def measure(shard: Shard, live: Live, tally: Tally) -> None:
    """Add exposures, clicks, and what is attributed to them."""
    events = shard.tables.events
    kinds, visitors = events[KIND].to_numpy(), shard.visitors_of("events")
    for kind in (EXPOSURE, CLICK):
        tally.counts[f"visitors.{KINDS[kind]}"] += len(np.unique(visitors[kinds == kind]))
    ours = events[OURS].to_numpy(zero_copy_only=False)
    moments = _moments(shard, "events")
    exposures = _exposures(shard, live, moments, np.flatnonzero(ours & (kinds == EXPOSURE)), tally)
    touched = _touched(exposures, moments.take(np.flatnonzero(ours & (kinds == CLICK))), shard, live, tally)
    for kind in (CART, PURCHASE):
        _add_due(shard, live, touched, _following(shard, moments, np.flatnonzero(kinds == kind), kind, tally), tally)
    if live.settings.counts_dwell:
        dwell = Following(DWELL, _moments(shard, "views"), shard.tables.views[AMOUNT].to_numpy())
        _add_due(shard, live, touched, dwell, tally)


def _moments(shard: Shard, table: str) -> Moments:
    pairs = shard.visitors_of(table) * max(len(shard.items), 1) + shard.items_of(table)
    return Moments(pairs, getattr(shard.tables, table)[TIME_MS].to_numpy())


def _touched(exposures: Exposures, clicks: Moments, shard: Shard, live: Live, tally: Tally) -> Touched:
    """Add exposures with the clicks that belong to them, and return the touches."""
    of_click = last_before(exposures.moments, clicks, live.options.click_hours * _HOUR_MS)
    found = of_click >= 0
    clicked = np.bincount(of_click[found], minlength=len(exposures.run)) > 0
    tally.counts["lists.skipped.click_without_exposure"] += int((~found).sum())
    tally.counts["lists.skipped.repeated_click"] += int(found.sum() - clicked.sum())
    tally.counts["lists.ours.exposures"] += len(clicked)
    tally.counts["lists.ours.clicks"] += int(clicked.sum())
    _add_shown(shard, live, exposures, clicked, tally)
    variants.add_shown(shard, live, exposures.run, exposures.visitor, clicked, tally)
    compared.measure(shard, live, exposures.run, exposures.place, clicked, tally)
    if (half_life := live.options.unclicked_half_life_days) is not None:
        tally.unclicked = _unclicked(shard, exposures, clicked, live.until_ms or live.runs[-1].end_ms, half_life)
    if live.options.attribute_to == "exposure":
        return Touched(exposures, exposures.moments, np.arange(len(exposures.run)))
    return Touched(exposures, clicks.take(np.flatnonzero(found)), of_click[found])


def _following(shard: Shard, moments: Moments, rows: np.ndarray, kind: int, tally: Tally) -> Following:
    """Return the events of a kind, in some rows, without those that are sent twice."""
    values = shard.tables.events[VALUE].to_numpy()[rows]
    pairs, times = moments.take(rows)
    new = firsts(pairs, times, np.nan_to_num(values, nan=-1.0))
    tally.counts[f"lists.skipped.duplicate_{KINDS[kind]}"] += int((~new).sum())
    return Following(KINDS[kind], Moments(pairs[new], times[new]), values[new])


def _exposures(shard: Shard, live: Live, moments: Moments, rows: np.ndarray, tally: Tally) -> Exposures:
    """Return the exposures of the runs, each with its place in the lists; count the others."""
    events = shard.tables.events
    positions = events[POSITION].to_numpy()[rows].astype(np.int64)
    pairs, times = moments.take(rows)
    new = firsts(pairs, times, positions)
    tally.counts["lists.skipped.duplicate_exposure"] += int((~new).sum())
    rows, positions = rows[new], positions[new]
    run = _runs(events[VERSION].take(pa.array(rows)), moments.times_ms[rows], live, tally)
    rows, positions, run = rows[run >= 0], positions[run >= 0], run[run >= 0]
    visitor, item = shard.visitors_of("events")[rows], shard.items_of("events")[rows]
    place = _places_in_lists(shard, run, visitor, item)
    predicted = shard.tables.predicted
    listed = place >= 0
    tally.counts["lists.exposures_not_in_predictions"] += int((~listed).sum())
    coded = predicted[RULE].combine_chunks().dictionary_encode()
    rules = [*coded.dictionary.to_pylist(), NOT_PREDICTED]
    rule, rank = np.full(len(rows), len(rules) - 1), np.zeros(len(rows), np.int64)
    rule[listed] = coded.indices.to_numpy()[place[listed]]
    rank[listed] = predicted[RANK].to_numpy()[place[listed]]
    shown = positions != NO_POSITION
    tally.counts["lists.exposures_without_position"] += int((~shown).sum())
    rank[shown] = np.maximum(positions[shown] - live.options.first_position + 1, 0)
    return Exposures(moments.take(rows), run, rank, rule, visitor, item, place, rules)


def _runs(versions: pa.ChunkedArray, times_ms: np.ndarray, live: Live, tally: Tally) -> np.ndarray:
    """Return the run that each exposure is of, int64 [n]; -1 for none, which is counted.

    It is the newest at the time; if the site sends a version, the newest of that version, which may be one that was
    rolled back to.
    """
    starts, ends = (np.array([getattr(run, name) for run in live.runs], np.int64) for name in ("start_ms", "end_ms"))
    run = np.searchsorted(starts, times_ms, side="right") - 1
    coded = versions.combine_chunks()
    codes, newest = coded.indices.fill_null(-1).to_numpy(), run.copy()
    for code in np.unique(codes[codes >= 0]).tolist():
        version = coded.dictionary[code].as_py().decode("utf-8", "replace")
        if not version:
            continue
        of_version = np.flatnonzero([version in one.versions for one in live.runs])
        rows = codes == code
        place = np.searchsorted(starts[of_version], times_ms[rows], side="right") - 1
        run[rows] = np.append(of_version, -1)[place] if len(of_version) else -1
        tally.counts["lists.skipped.version_not_in_predictions"] += int((run[rows] < 0).sum())
        tally.counts["lists.exposures_of_an_older_version"] += int(
            ((run[rows] >= 0) & (run[rows] < newest[rows])).sum()
        )
    late = (run >= 0) & (run == newest) & (times_ms >= ends[np.maximum(run, 0)])
    tally.counts["lists.skipped.after_window"] += int(late.sum())
    run[late] = -1
    return run


def _places_in_lists(shard: Shard, run: np.ndarray, visitor: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return the row of `predicted` of each exposure, int64 [n]; -1 if the item was not in the visitor's list."""
    numbers = shard.tables.predicted[RUN].to_numpy().astype(np.int64)
    visitors, items = len(shard.visitors), max(len(shard.items), 1)
    keys = (numbers * visitors + shard.visitors_of("predicted")) * items + shard.items_of("predicted")
    wanted = (run * visitors + visitor) * items + item
    if not len(keys):
        return np.full(len(wanted), -1)
    order = np.argsort(keys, kind="stable")
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][place] == wanted, order[place], -1)


def _add_shown(shard: Shard, live: Live, exposures: Exposures, clicked: np.ndarray, tally: Tally) -> None:
    """Add exposures and their clicks by rule and rank, day, category, age and item."""
    ranks = [of_items.rank_name(rank) for rank in range(of_items.RANKS + 2)]
    cells = [f"{rule}\t{rank}" for rule in exposures.rules for rank in ranks]
    grouped = np.clip(exposures.rank, 0, len(ranks) - 1)
    for number, (run, items) in enumerate(zip(live.runs, live.items, strict=True)):
        rows = np.flatnonzero(exposures.run == number)
        if not len(rows):
            continue
        columns = [np.ones(len(rows)), clicked[rows].astype(float)]
        buckets = shard.buckets[exposures.visitor[rows]]
        of_cell = exposures.rule[rows] * len(ranks) + grouped[rows]
        tally.add_groups((run.version, SHOWN, CELL), cells, of_cell, buckets, columns)
        days, of_day = np.unique(exposures.moments.times_ms[rows] // DAY_MS, return_inverse=True)
        names = [str(np.datetime64(day, "D")) for day in days.tolist()]
        tally.add_groups((run.version, SHOWN, DAY), names, of_day, buckets, columns)
        each = exposures.item[rows]
        tally.items.append(of_items.of_version(run.version, each, grouped[rows], clicked[rows], shard.items))
        codes = items.codes_of(shard.items)[each]
        for kind, groups in (("category", items.categories), ("age", items.ages)):
            tally.add_groups((run.version, SHOWN, kind), groups.names, items.group(groups, codes), buckets, columns)


def _unclicked(
    shard: Shard, exposures: Exposures, clicked: np.ndarray, until_ms: int, half_life_days: float
) -> pa.Table:
    """Return the pairs of visitor and item without a click, and their exposures, which count less with their age.

    until_ms: the time at which an exposure counts as one.
    """
    pairs, place = np.unique(exposures.moments.pairs, return_inverse=True)
    ages = np.maximum(until_ms - exposures.moments.times_ms, 0) / (half_life_days * DAY_MS)
    numbers = np.bincount(place, np.exp2(-ages), len(pairs))
    kept = np.flatnonzero(np.bincount(place, clicked, len(pairs)) == 0)
    first = np.full(len(pairs), -1)
    first[place] = np.arange(len(place))
    rows = first[kept]
    codes = (shard.visitors, exposures.visitor), (shard.items, exposures.item)
    ids = [names.take(pa.array(of_row[rows])) for names, of_row in codes]
    return pa.table([*ids, pa.array(numbers[kept].astype(np.float32))], schema=UNCLICKED)


def _add_due(shard: Shard, live: Live, touched: Touched, following: Following, tally: Tally) -> None:
    """Add what is due to touches by the rule of their exposure: its number, and the sum of its values."""
    exposures, (kind, moments, values) = touched.exposures, following
    place = last_before(touched.touches, moments, live.options.attribution_hours * _HOUR_MS)
    due = place >= 0
    tally.counts[f"{kind}.read"] += len(place)
    tally.counts[f"{kind}.attributed"] += int(due.sum())
    tally.counts[f"{kind}.without_value"] += int(np.isnan(values[due]).sum())
    exposure, value = touched.exposure[place[due]], np.nan_to_num(values[due])
    for number, run in enumerate(live.runs):
        rows = exposures.run[exposure] == number
        of_rule, buckets = exposures.rule[exposure[rows]], shard.buckets[exposures.visitor[exposure[rows]]]
        columns = [np.ones(int(rows.sum())), value[rows]]
        tally.add_groups((run.version, DUE, kind), exposures.rules, of_rule, buckets, columns)
