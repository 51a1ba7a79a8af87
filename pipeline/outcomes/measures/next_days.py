"""Without any tracking: what visitors came for in the next days, in the lists that were live and in popularity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import CONTENT_ID, TIME_MS, VISITOR_ID
from artifacts.sparse_rows import SparseRows
from pipeline.outcomes.live.items import Items
from pipeline.outcomes.live.lists import LEFT_OUT, RANK, RULE, RUN
from pipeline.outcomes.live.runs import Run
from pipeline.outcomes.measures import examples, variants
from pipeline.outcomes.measures.examples import Met
from pipeline.outcomes.measures.shard import Live, Shard
from pipeline.outcomes.measures.tally import Tally
from ranking import popularity
from ranking.measures.lists import Columns, are_hits, of_lists

VISITORS, ENTRIES = "visitors", "entries"  # figures: of a visitor's whole list, and of its entries
ALL = "all"
ACTIVITY = {"1": 1, "2-5": 5, "6-20": 20, "21+": None}  # items that a visitor had: the greatest number of each group
NO_ITEMS = "0"


class Lists(NamedTuple):
    """The lists of n visitors. visitors: int64 [n], ascending; entries: int64 [n, k] items, -1 after the last."""

    visitors: np.ndarray
    entries: np.ndarray
    rules: np.ndarray  # object [n]


class Pairs(NamedTuple):
    """Pairs of a visitor's place in `Lists` and an item's code, int64 [m] each."""

    visitor: np.ndarray
    item: np.ndarray

    def rows(self, size: int) -> SparseRows:
        """Return a row per visitor, with items in ascending order."""
        order = np.lexsort((self.item, self.visitor))
        indptr = np.append(0, np.cumsum(np.bincount(self.visitor, minlength=size)))
        return SparseRows(np.arange(size), indptr, self.item[order], np.ones(len(order), np.float32))

    def filter(self, kept: np.ndarray) -> Pairs:
        return Pairs(self.visitor[kept], self.item[kept])


def measure(shard: Shard, live: Live, tally: Tally) -> None:
    """Add to the tally what the visitors of a shard came for while each run was live."""
    of_variants = variants.Came(shard, live)
    for number, (run, items) in enumerate(zip(live.runs, live.items, strict=True)):
        codes = items.codes_of(shard.items)
        lists = lists_of(shard, number, codes, run.length)
        if not len(lists.visitors):
            continue
        tally.counts[f"{run.version}.visitors"] += len(lists.visitors)
        had, activity = _had(shard, number, lists)
        came = _came_for(shard, run, codes, lists, live, tally)
        if not run.include_seen:
            came = _new_to(came, had, len(codes) + run.items, tally)
        of_variants.add_run(number, lists.visitors, *_came_and_hits(came, lists))
        active = np.unique(came.visitor)
        tally.counts[f"{run.version}.active"] += len(active)
        tally.counts[f"{run.version}.pairs"] += len(came.visitor)
        if len(active):
            _add(_Active(run, items, lists, had, came, active, activity[active]), shard, live, tally)
    of_variants.finish(tally)
    variants.count_changed(shard, live, tally)


def _came_and_hits(came: Pairs, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """Return how many items each visitor came for, and how many of them are in the list, int64 [n] each."""
    size = int(max(came.item.max(initial=0), lists.entries.max(initial=0))) + 1
    rows, columns = np.nonzero(lists.entries >= 0)
    listed = np.isin(came.visitor * size + came.item, rows * size + lists.entries[rows, columns])
    number = len(lists.visitors)
    return np.bincount(came.visitor, minlength=number), np.bincount(came.visitor[listed], minlength=number)


def lists_of(shard: Shard, number: int, codes: np.ndarray, length: int) -> Lists:
    """Return the lists of one run; codes: of the shard's items in the run."""
    table = shard.tables.predicted
    rows = np.flatnonzero(table[RUN].to_numpy() == number)
    visitors, place = np.unique(shard.visitors_of("predicted")[rows], return_inverse=True)
    entries = np.full((len(visitors), length), -1, np.int64)
    ranks = table[RANK].to_numpy()[rows]
    inside = (ranks >= 1) & (ranks <= length)
    entries[place[inside], ranks[inside] - 1] = codes[shard.items_of("predicted")[rows[inside]]]
    rules = np.full(len(visitors), None, object)
    rules[place] = np.array(table[RULE].take(pa.array(rows)).to_pylist(), object)
    return Lists(visitors, entries, rules)


def _had(shard: Shard, number: int, lists: Lists) -> tuple[Pairs, np.ndarray]:
    """Return the items that recommendations leave out, and the number of items that each visitor had, int64 [n]."""
    table = shard.tables.had
    rows = np.flatnonzero(table[RUN].to_numpy() == number)
    place = _places(lists.visitors, shard.visitors_of("had")[rows])
    items, left_out = table["itemId"].to_numpy()[rows].astype(np.int64), table[LEFT_OUT].to_numpy()[rows]
    known = place >= 0
    activity = np.bincount(place[known], minlength=len(lists.visitors))
    return Pairs(place, items).filter(known & left_out), activity


def _came_for(shard: Shard, run: Run, codes: np.ndarray, lists: Lists, live: Live, tally: Tally) -> Pairs:
    """Return the pairs that the source's rules make of the views in the run's time, of visitors with a list."""
    times = shard.tables.views[TIME_MS]
    inside = pc.and_(pc.greater_equal(times, run.start_ms), pc.less(times, run.end_ms))
    pairs, account = live.source.combine(shard.tables.views.filter(inside))
    tally.counts.update(account)
    if not pairs.num_rows:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    visitors = shard.codes(pairs[VISITOR_ID], shard.visitors)
    place = _places(lists.visitors, visitors)
    known = place >= 0
    tally.counts["pairs.read"] += len(place)
    tally.counts["pairs.skipped.visitor_not_in_predictions"] += int((~known).sum())
    tally.counts["visitors.read"] += len(np.unique(visitors))
    tally.counts["visitors.known"] += len(np.unique(visitors[known]))
    return Pairs(place, codes[shard.codes(pairs[CONTENT_ID], shard.items)]).filter(known)


def _new_to(came: Pairs, had: Pairs, size: int, tally: Tally) -> Pairs:
    """Return pairs without those that the visitor had before, which are not recommended; size: number of codes."""
    new = ~np.isin(came.visitor * size + came.item, had.visitor * size + had.item)
    tally.counts["pairs.skipped.had_before"] += int((~new).sum())
    return came.filter(new)


def _places(known: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the place of each code among known ones, ascending; -1 where it is not."""
    if not len(known):
        return np.full(len(codes), -1)
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[place] == codes, place, -1)


class _Active(NamedTuple):
    """The visitors of a run who came for something: places in `lists`, int64 [a]; activity: items that each had."""

    run: Run
    items: Items
    lists: Lists
    had: Pairs
    came: Pairs
    places: np.ndarray
    activity: np.ndarray

    def of_places(self, pairs: Pairs) -> Pairs:
        """Return the pairs of these visitors, by their place among them."""
        place = _places(self.places, pairs.visitor)
        return Pairs(place, pairs.item).filter(place >= 0)


def _add(active: _Active, shard: Shard, live: Live, tally: Tally) -> None:
    """Add the lists of active visitors, and those of popularity, to the tally."""
    run, items, size = active.run, active.items, len(active.places)
    codes = run.items + len(shard.items)
    truth, lists = active.of_places(active.came).rows(size), active.lists.entries[active.places]
    had = active.of_places(active.had).rows(size)
    left_out = SparseRows.empty(size) if run.include_seen else had
    popular = popularity.first_k(items.by_popularity, items.popularity, left_out, run.length).indices
    ks = np.array([k for k in live.ks if k <= run.length] or [run.length])
    columns = [np.ones(size)]
    for system in (lists, popular):
        found = Columns.of(of_lists(system, truth, ks, np.zeros(codes)))
        columns += [*found.hit_rate.T, *found.recall.T]
    buckets = shard.buckets[active.lists.visitors[active.places]]
    key = run.version, VISITORS
    tally.add((*key, ALL, ALL), buckets, columns)
    rules, of_rule = np.unique(active.lists.rules[active.places].astype(str), return_inverse=True)
    tally.add_groups((*key, "rule"), rules.tolist(), of_rule, buckets, columns)
    limits = [limit for limit in ACTIVITY.values() if limit is not None]
    groups = np.where(active.activity > 0, np.searchsorted(limits, active.activity), len(ACTIVITY))
    tally.add_groups((*key, "activity"), [*ACTIVITY, NO_ITEMS], groups, buckets, columns)
    for place, system in enumerate((lists, popular)):
        _add_entries(system, truth, (run, items), buckets, place, tally)
    visitors = shard.visitors.take(pa.array(active.lists.visitors[active.places]))
    met = Met(visitors, lists, active.lists.rules[active.places], had, truth)
    for hit, drawn in examples.draw(met, are_hits(lists, truth, codes), items, shard.items):
        tally.add_examples((run.version, hit), drawn)


def _add_entries(
    lists: np.ndarray, truth: SparseRows, of_run: tuple[Run, Items], buckets: np.ndarray, place: int, tally: Tally
) -> None:
    """Add the entries of lists by rank, category and age; place: of the system in the columns."""
    run, items = of_run
    hits = are_hits(lists, truth, int(max(lists.max(), truth.indices.max(initial=0))) + 1)
    row, rank = np.nonzero(lists >= 0)
    counted = [np.ones(len(row)), hits[row, rank].astype(float)]
    nothing = [np.zeros(len(row))] * 2
    columns = [*counted, *nothing] if place == 0 else [*nothing, *counted]
    codes, of_entry = lists[row, rank], buckets[row]
    ranks = [f"{number:02d}" for number in range(1, lists.shape[1] + 1)]
    for kind, names, groups in (
        ("rank", ranks, rank),
        ("category", items.categories.names, items.group(items.categories, codes)),
        ("age", items.ages.names, items.group(items.ages, codes)),
    ):
        tally.add_groups((run.version, ENTRIES, kind), names, groups, of_entry, columns)
