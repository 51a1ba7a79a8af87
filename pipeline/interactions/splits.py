"""What is held out of training to evaluate by, by columns. docs/evaluation.md has the rules.

A split sees all pairs of a visitor at once, behind the shuffle that brings them together and before TF-Transform
learns anything: vocabularies, median, counts and popularity are of train alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import CONTENT_ID, TIME_MS, VISITOR_ID
from configs.settings import SplitSettings

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Combine = Callable[[pa.Table], tuple[pa.Table, Counter[str]]]

HELD_OUT, VISITORS, WITHOUT, IN_TRAIN, NO_VISITOR, NO_ITEM = (
    "split.held_out",  # pairs that evaluation measures by
    "split.visitors",  # with pairs held out, before unknown ids are taken away
    "split.visitors_without",  # of train, with nothing held out
    "split.already_in_train",
    "split.unknown_visitor",
    "split.unknown_item",
)


def divide(rows: pa.Table, combine: Combine, split: SplitSettings) -> tuple[pa.Table, pa.Table | None, Counter[str]]:
    """All rows of some visitors -> the pairs to train on, and those held out (None where nothing ever is).

    Args:
        rows: columns of pipeline.interactions.sessions.INTERACTIONS, a row a view.
        combine: rows -> pairs, one a row, with their account.
    """
    if split.kind == "time":
        # Views, not pairs: what was viewed on both sides stays in train with what came before.
        before = pc.less(rows[TIME_MS], split.time_ms)
        return apart(*combine(rows.filter(before)), *combine(rows.filter(pc.invert(before))))
    pairs, counts = combine(rows)
    if split.kind == "none":
        return pairs, None, counts
    held = _drawn(pairs, split)
    train, held_out = pairs.filter(pa.array(~held)), pairs.filter(pa.array(held))
    return train, held_out, counts + _account(train, held_out)


def on_each_side(rows: pa.Table, combine: Callable[[pa.Table], pa.Table], split: SplitSettings) -> pa.Table:
    """Combines rows early, those before and behind a cut in time apart."""
    if split.kind != "time":
        return combine(rows)
    before = pc.less(rows[TIME_MS], split.time_ms)
    return pa.concat_tables([combine(rows.filter(before)), combine(rows.filter(pc.invert(before)))])


def apart(
    train: pa.Table, counts: Counter[str], held_out: pa.Table, more: Counter[str]
) -> tuple[pa.Table, pa.Table, Counter[str]]:
    """Takes out of the held-out pairs what train has too, and counts it; the same visitors' pairs on both sides."""
    known = shared(held_out, train)
    held_out = held_out.filter(pa.array(~known))
    account = Counter({IN_TRAIN: int(known.sum())})
    return train, held_out, counts + more + account + _account(train, held_out)


def shared(pairs: pa.Table, others: pa.Table) -> np.ndarray:
    """Which of the pairs are also among the others: bool [n]."""
    both, numbers = pa.concat_tables([pairs, others]), np.zeros(len(pairs) + len(others), np.int64)
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
    """Which pairs to hold out, bool [n]; pairs are ordered by visitor and item. A visitor always keeps one."""
    visitors = pairs[VISITOR_ID].combine_chunks().indices.to_numpy()
    sizes = np.bincount(visitors, minlength=1)
    if split.kind == "last_n":
        keys, wanted = pairs[TIME_MS].to_numpy(), np.full(len(sizes), split.n)
    else:
        keys = hashes(pairs[VISITOR_ID], pairs[CONTENT_ID], split.seed)
        wanted = np.floor(sizes * split.share + 1e-9).astype(np.int64)  # 0.29 * 100 lies below 29
    wanted = np.where(sizes >= split.min_items, np.minimum(wanted, sizes - 1), 0)
    order = np.lexsort((keys, visitors))  # stable: of equal times the greater contentId is the later one
    from_end = np.cumsum(sizes)[visitors[order]] - np.arange(len(order))  # 1 for a visitor's last
    held = np.zeros(len(order), bool)
    held[order] = from_end <= wanted[visitors[order]]
    return held


def hashes(visitors: pa.ChunkedArray, items: pa.ChunkedArray, seed: int) -> np.ndarray:
    """uint64 [n], as good as random and the same on every machine: each id's FNV-1a, seeded, mixed by SplitMix64."""
    both = []
    for column in (visitors, items):
        coded = column.combine_chunks()
        ids = coded.dictionary.cast(pa.large_binary())
        _, offsets, data = ids.buffers()
        bounds = np.frombuffer(offsets, np.int64, len(ids) + 1, ids.offset * 8)
        codes = _hash_ids(np.frombuffer(data or b"", np.uint8), bounds, np.uint64(seed))
        both.append(codes[coded.indices.to_numpy()])
    return _mix(both[0] * _GOLDEN + both[1])


def _mix(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _hash_ids(data: np.ndarray, bounds: np.ndarray, seed: np.uint64) -> np.ndarray:
    """uint64 [ids]: all ids' first bytes at once, then their second ones, and so on."""
    codes = np.full(len(bounds) - 1, np.uint64(0xCBF29CE484222325) ^ seed)
    places, alive = bounds[:-1], np.arange(len(codes))
    while len(alive := alive[places[alive] < bounds[alive + 1]]):
        codes[alive] = (codes[alive] ^ data[places[alive]]) * np.uint64(0x100000001B3)
        places = places + 1
    return _mix(codes)


def of_encoded(counts: Counter[str]) -> Counter[str]:
    """The account of encoded interactions (pipeline.dataset.grouping), of those that are held out."""
    return Counter(
        {
            HELD_OUT: counts["pairs.used"],
            NO_VISITOR: counts["pairs.skipped.below_min_items_per_user"],
            NO_ITEM: counts["pairs.skipped.below_min_users_per_item"],
        }
    )
