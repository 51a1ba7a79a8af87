"""Pairs held out of training for evaluation, by columns; docs/evaluation.md has the rules.

A split sees all pairs of a visitor at once, after the shuffle that brings them together and before TF-Transform
learns anything: vocabularies, median, counts and popularity come from train alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AGAIN, CONTENT_ID, TIME_MS, VISITOR_ID
from configs.settings import SplitSettings

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FNV_OFFSET, _FNV_PRIME, _UINT64 = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1

Combine = Callable[[pa.Table], tuple[pa.Table, Counter[str]]]

HELD_OUT, VISITORS, WITHOUT, IN_TRAIN, NO_VISITOR, NO_ITEM = (
    "split.held_out",  # pairs that evaluation measures
    "split.visitors",  # with pairs held out, before unknown ids are removed
    "split.visitors_without",  # of train, with nothing held out
    "split.already_in_train",
    "split.unknown_visitor",
    "split.unknown_item",
)


class Division(NamedTuple):
    """The pairs to train on, those held out (None where the split holds out none), and the account."""

    train: pa.Table
    held_out: pa.Table | None
    counts: Counter[str]


def divide(rows: pa.Table, combine: Combine, split: SplitSettings) -> Division:
    """Divide all rows of some visitors, columns of pipeline.interactions.sessions.INTERACTIONS, one row per view.

    combine: rows -> one row per pair, with the account.
    """
    if split.kind == "time":
        # Views, not pairs: a pair viewed on both sides stays in train with its earlier views.
        before = pc.less(rows[TIME_MS], split.time_ms)
        return apart(*combine(rows.filter(before)), *combine(rows.filter(pc.invert(before))))
    pairs, counts = combine(rows)
    if split.kind == "none":
        return Division(pairs, None, counts)
    held = _drawn(pairs, split)
    train, held_out = pairs.filter(pa.array(~held)), pairs.filter(pa.array(held))
    return Division(train, held_out, counts + _account(train, held_out))


def on_each_side(rows: pa.Table, combine: Callable[[pa.Table], pa.Table], split: SplitSettings) -> pa.Table:
    """Combine rows early, but keep those before and after a cut in time apart."""
    if split.kind != "time":
        return combine(rows)
    before = pc.less(rows[TIME_MS], split.time_ms)
    return pa.concat_tables([combine(rows.filter(before)), combine(rows.filter(pc.invert(before)))])


def apart(train: pa.Table, counts: Counter[str], held_out: pa.Table, more: Counter[str]) -> Division:
    """Remove the pairs that train has from the held-out pairs of the same visitors, and count them.

    A pair of train whose item may be recommended again stays held out too: to recommend it would be right.
    """
    left_out = train.filter(pc.invert(train[AGAIN])) if AGAIN in train.schema.names else train
    known = shared(held_out, left_out)
    held_out = held_out.filter(pa.array(~known))
    account = Counter({IN_TRAIN: int(known.sum())})
    return Division(train, held_out, counts + more + account + _account(train, held_out))


def shared(pairs: pa.Table, others: pa.Table) -> np.ndarray:
    """Return which of the pairs are also among the others, bool[n]."""
    both = pa.concat_tables([table.select([VISITOR_ID, CONTENT_ID]) for table in (pairs, others)])
    numbers = np.zeros(len(both), np.int64)
    for name in (VISITOR_ID, CONTENT_ID):
        codes = both[name].combine_chunks()
        numbers = numbers * max(len(codes.dictionary), 1) + codes.indices.to_numpy()
    return np.isin(numbers[: len(pairs)], numbers[len(pairs) :])


def _account(train: pa.Table, held_out: pa.Table) -> Counter[str]:
    visitors, held = (_names(table[VISITOR_ID].combine_chunks()) for table in (train, held_out))
    both = pc.sum(pc.is_in(visitors, value_set=held)).as_py() or 0
    return Counter({VISITORS: len(held), WITHOUT: len(visitors) - both})


def _names(ids: pa.DictionaryArray) -> pa.Array:
    return ids.dictionary.take(pc.unique(ids.indices))


def _drawn(pairs: pa.Table, split: SplitSettings) -> np.ndarray:
    """Return which pairs to hold out, bool[n]; pairs are ordered by visitor and item. A visitor keeps at least one."""
    visitors = pairs[VISITOR_ID].combine_chunks().indices.to_numpy()
    sizes = np.bincount(visitors, minlength=1)
    keys = [hashes(pairs[VISITOR_ID], pairs[CONTENT_ID], split.seed)]
    if split.kind == "last_n":  # by the hash among equal times: by contentId, one item of each list would be held out
        keys, wanted = [*keys, pairs[TIME_MS].to_numpy()], np.full(len(sizes), split.n)
    else:
        wanted = np.floor(sizes * split.share + 1e-9).astype(np.int64)  # 0.29 * 100 is below 29
    wanted = np.where(sizes >= split.min_items, np.minimum(wanted, sizes - 1), 0)
    order = np.lexsort((*keys, visitors))
    from_end = np.cumsum(sizes)[visitors[order]] - np.arange(len(order))  # 1 for a visitor's last
    held = np.zeros(len(order), bool)
    held[order] = from_end <= wanted[visitors[order]]
    return held


def hashes(visitors: pa.ChunkedArray, items: pa.ChunkedArray, seed: int) -> np.ndarray:
    """Return pseudo-random uint64[n], the same on every machine: FNV-1a of each id, seeded, mixed by SplitMix64."""
    of_visitor, of_item = (hash_ids(column.combine_chunks(), seed) for column in (visitors, items))
    return mix(of_visitor * _GOLDEN + of_item)


def hash_ids(coded: pa.DictionaryArray, seed: int) -> np.ndarray:
    """Return a hash of each row's id, uint64[n]; a null has one too."""
    ids = coded.dictionary.cast(pa.large_binary())
    _, offsets, data = ids.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(ids) + 1, ids.offset * 8)
    hashes = _hash_each(np.frombuffer(data or b"", np.uint8), bounds, np.uint64(seed))
    return np.append(hashes, _GOLDEN)[coded.indices.fill_null(len(ids)).to_numpy()]


def mix(codes: np.ndarray) -> np.ndarray:
    """Return uint64[n], each bit of which depends on all bits (SplitMix64)."""
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _hash_each(data: np.ndarray, bounds: np.ndarray, seed: np.uint64) -> np.ndarray:
    """Return uint64[ids]: the first bytes of all ids are hashed at once, then the second ones, and so on.

    Ids that are much longer than most are then hashed one by one: a step of NumPy costs as much as 64 of Python.
    """
    codes = np.full(len(bounds) - 1, np.uint64(_FNV_OFFSET) ^ seed)
    places, ends = bounds[:-1], bounds[1:]
    alive = np.flatnonzero(places < ends)
    while len(alive) > 64:
        codes[alive] = (codes[alive] ^ data[places[alive]]) * np.uint64(_FNV_PRIME)
        places = places + 1
        alive = alive[places[alive] < ends[alive]]
    for index in alive:
        code = int(codes[index])
        for byte in data[places[index] : ends[index]].tobytes():
            code = (code ^ byte) * _FNV_PRIME & _UINT64
        codes[index] = code
    return mix(codes)


def of_encoded(counts: Counter[str]) -> Counter[str]:
    """Return the account of held-out interactions, from that of encoded ones (pipeline.dataset.grouping)."""
    return Counter(
        {
            HELD_OUT: counts["pairs.used"],
            NO_VISITOR: counts["pairs.skipped.below_min_items_per_user"],
            NO_ITEM: counts["pairs.skipped.below_min_users_per_item"],
        }
    )
