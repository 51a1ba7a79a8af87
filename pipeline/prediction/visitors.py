"""A shard's visitors by blocks: ids, rows, factors, and by which rule each is answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from artifacts import factor_tables as factors
from artifacts import tfrecords
from artifacts.examples import Rows
from artifacts.paths import shard_name
from artifacts.vocabulary import iterate_vocabulary
from configs.errors import UserError
from pipeline.beam.counters import StepCounter
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from pipeline.sources import privacy
from ranking import cold_start, topk

_COUNTER = StepCounter("read")


@dataclass(frozen=True)
class Visitors:
    """A block of b visitors.

    Attributes:
        ids: [b]. offsets, places, ratings: what each has: int64 [b + 1], int64 [n] places of items, float32 [n].
        weights: float32 [b], R. factors: float32 [b, d]. rules: [b], names of `ranking.cold_start`.
    """

    ids: list[bytes]
    offsets: np.ndarray
    places: np.ndarray
    ratings: np.ndarray
    weights: np.ndarray
    factors: np.ndarray
    rules: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns of numbers."""
        columns = (self.offsets, self.places, self.ratings, self.weights, self.factors)
        return sum(column.nbytes for column in columns)

    def take(self, rows: np.ndarray) -> Visitors:
        """Some of them, by their positions int64 [r]."""
        bounds, places = topk.rows_of(self.offsets, self.places, rows)
        ratings = topk.rows_of(self.offsets, self.ratings, rows)[1]
        others = (column[rows] for column in (self.weights, self.factors, self.rules))
        return Visitors([self.ids[row] for row in rows], bounds, places, ratings, *others)


def read(plan: Plan, items: Items, shard: int, size: int, wanted: frozenset[bytes] | None) -> Iterator[Visitors]:
    """The visitors of a shard by blocks, each with the factors that answer for them.

    Args:
        size: visitors of a block.
        wanted: the ids to keep; None keeps all. Who asked to be forgotten is left out of both.

    Raises:
        UserError: a file is missing or damaged.
    """
    _, deleted = privacy.rules(plan.privacy)
    for block in _as_trained(plan, items, shard, size):
        _COUNTER.add(len(block), block.nbytes)
        kept = block
        if wanted is not None or deleted:
            rows = [(wanted is None or name in wanted) and name not in deleted for name in block.ids]
            kept = block.take(np.flatnonzero(rows))
        if len(kept):
            yield _by_rules(plan, items, kept)


def _as_trained(plan: Plan, items: Items, shard: int, size: int) -> Iterator[Visitors]:
    rows = len(range(shard, plan.users, plan.user_shards))
    path = shard_name(plan.dataset.items_for_user, shard, plan.user_shards, ".gz" if plan.compressed else "")
    batches = _sound(tfrecords.read_row_batches(path), path, plan, shard)
    own = rows_by_block(batches, plan.user_shards, rows, size)
    ids = iterate_vocabulary(plan.dataset.vocab_users, shard, plan.user_shards)
    layout = shard, plan.user_shards, rows, size
    weights = factors.read_blocks(plan.model.user_weights, *layout)
    tables: Iterable[np.ndarray | None] = itertools.repeat(None)
    if not plan.projected:
        tables = factors.read_blocks(plan.model.user_factors, *layout)
    for (offsets, indices, ratings), weight, table in zip(own, weights, tables, strict=False):
        count = len(weight)
        if table is None:
            table = np.zeros((count, items.factors.shape[1]), np.float32)
        names = list(itertools.islice(ids, count))
        rules = np.full(count, cold_start.FACTORS, object)
        yield Visitors(names, offsets, items.place_of[indices], ratings, weight[:, 0], table, rules)


def _sound(batches: Iterable[Rows], path: str, plan: Plan, shard: int) -> Iterator[Rows]:
    """The rows, made sure of, so that no list is made of what is no row.

    Raises:
        UserError: a file of another dataset or shard, an item twice in a row, a rating that is no number.
    """
    last = -1
    for rows in batches:
        keys, indices, falls = rows.keys, rows.indices, np.diff(rows.indices) <= 0
        starts = rows.offsets[1:-1]
        falls[starts[(starts > 0) & (starts < len(indices))] - 1] = False  # from one row to the next
        if (
            (np.diff(keys, prepend=last) <= 0).any()
            or (keys % plan.user_shards != shard).any()
            or keys[-1] >= plan.users
        ):
            wrong = "rows of other visitors than it must, or in another order"
        elif len(indices) and not 0 <= indices.min() <= indices.max() < plan.items:
            wrong = "items that the vocabulary lacks"
        elif falls.any():
            wrong = "a row whose items repeat or do not ascend"
        elif not np.isfinite(rows.values).all():
            wrong = "ratings that are no finite numbers"
        else:
            last = int(keys[-1])
            yield rows
            continue
        raise UserError(f"{path} holds {wrong}; make the dataset again")


def _by_rules(plan: Plan, items: Items, block: Visitors) -> Visitors:
    counts, limits = np.diff(block.offsets), plan.cold_start
    known = np.ones(len(block), bool)
    found = cold_start.rules(known, counts, plan.interactions, limits.min_ratings, limits.min_site_ratings)
    rules = np.full(len(block), cold_start.POPULARITY, object)
    rules[found.factors], rules[found.projection] = cold_start.FACTORS, cold_start.PROJECTION
    chosen = counts > 0 if plan.projected else found.projection
    if plan.projected:
        rules[found.factors] = cold_start.PROJECTION
    rows, table = np.flatnonzero(chosen), block.factors
    if len(rows):
        some, table = block.take(rows), block.factors.copy()
        table[rows] = items.projection.solve(some.offsets, some.places, some.ratings, some.weights)
    return replace(block, factors=table, rules=rules)


def rows_by_block(
    batches: Iterable[Rows], shards: int, rows: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Regroups a shard's records, keys ascending, into blocks of `size` of its rows, also those without a record.

    Yields:
        offsets int64[b + 1], itemIds int64[n] and ratings float32[n] of each block.
    """
    # Row, item and rating of each entry.
    held: list[np.ndarray] = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)]
    start = 0
    for batch in itertools.chain(batches, [None]):
        complete = rows  # rows below this have all their entries
        if batch is not None:
            complete = int(batch.keys[-1]) // shards
            more = np.repeat(batch.keys // shards, np.diff(batch.offsets)), batch.indices, batch.values
            held = [np.concatenate(pair) for pair in zip(held, more, strict=True)]
        while start < rows and min(start + size, rows) <= complete:
            stop = min(start + size, rows)
            cut = int(np.searchsorted(held[0], stop))
            counts = np.bincount(held[0][:cut] - start, minlength=stop - start)
            yield np.concatenate([[0], np.cumsum(counts)]), held[1][:cut], held[2][:cut]
            held, start = [column[cut:] for column in held], stop
