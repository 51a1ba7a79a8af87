"""A shard's visitors in blocks: ids, rows, factors, and the rule that answers each."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from artifacts import factor_tables, tfrecords
from artifacts.paths import shard_name
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import iterate_ids
from configs.errors import UserError
from pipeline.beam.counters import StepCounter
from pipeline.prediction.attributes import Attributes
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from pipeline.sources import privacy
from ranking import cold_start
from ranking.attributes.prior import fold_in

_COUNTER = StepCounter("read")


@dataclass(frozen=True)
class Visitors:
    """A block of b visitors, userIds ascending."""

    ids: list[bytes]  # [b] visitorIds
    rows: SparseRows  # by userId, the itemIds that each visitor has, and the ratings
    weights: np.ndarray  # float32 [b], R
    factors: np.ndarray  # float32 [b, d]
    rules: np.ndarray  # [b], names of `ranking.cold_start`
    prior: np.ndarray  # float32 [b, d], factors from attributes; zeros where none are known
    described: np.ndarray  # bool [b], whether some are known
    segments: np.ndarray  # int64 [b], those whose popular items answer; -1 for none

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: np.ndarray) -> Visitors:
        """Return the visitors at the positions int64 [r]."""
        parts = self.weights, self.factors, self.rules, self.prior, self.described, self.segments
        columns = (part[positions] for part in parts)
        return Visitors([self.ids[position] for position in positions], self.rows.take(positions), *columns)


def read(plan: Plan, items: Items, shard: int, size: int, wanted: Container[bytes] | None) -> Iterator[Visitors]:
    """Read the visitors of a shard in blocks of `size`, each with the factors that answer; raise UserError.

    wanted: the ids to keep; None keeps all. Visitors who asked to be deleted are left out in both cases.
    """
    yield from _kept(plan, items, _as_trained(plan, items, shard, size), wanted)


def read_new(plan: Plan, items: Items, shard: int, size: int, wanted: Container[bytes] | None) -> Iterator[Visitors]:
    """Read the visitors that have attributes and no items, as `read` does the others."""
    yield from _kept(plan, items, _without_items(plan, items, shard, size), wanted)


def _kept(plan: Plan, items: Items, blocks: Iterable[Visitors], wanted: Container[bytes] | None) -> Iterator[Visitors]:
    _, deleted = privacy.rules(plan.privacy)
    for block in blocks:
        columns = (block.rows.indptr, block.rows.indices, block.rows.values, block.weights, block.factors)
        _COUNTER.add(len(block), sum(column.nbytes for column in columns))
        kept = block
        if wanted is not None or deleted:
            keep = [(wanted is None or name in wanted) and name not in deleted for name in block.ids]
            kept = block.take(np.flatnonzero(keep))
        if len(kept):
            yield _by_rules(plan, items, kept)


def _as_trained(plan: Plan, items: Items, shard: int, size: int) -> Iterator[Visitors]:
    count = len(range(shard, plan.users, plan.user_shards))
    path = shard_name(plan.dataset.items_for_user, shard, plan.user_shards, ".gz" if plan.compressed else "")
    blocks = rows_by_block(_checked_rows(path, plan, shard), range(shard, plan.users, plan.user_shards), size)
    ids = iterate_ids(plan.dataset.vocab_users, shard, plan.user_shards)
    layout = shard, plan.user_shards, count, size
    weights = factor_tables.read_blocks(plan.model.user_weights, *layout)
    tables: Iterable[np.ndarray | None] = itertools.repeat(None)
    if not plan.projected:
        tables = factor_tables.read_blocks(plan.model.user_factors, *layout)
    dimensions = items.factors.shape[1]
    attributes = Attributes(plan, shard, dimensions)
    for rows, weight, table in zip(blocks, weights, tables, strict=False):
        if table is None:
            table = np.zeros((len(rows), dimensions), np.float32)
        names = list(itertools.islice(ids, len(rows)))
        rules = np.full(len(rows), cold_start.FACTORS, object)
        yield Visitors(names, rows, weight[:, 0], table, rules, *attributes.of(rows.keys))


def _without_items(plan: Plan, items: Items, shard: int, size: int) -> Iterator[Visitors]:
    for names, described in Attributes(plan, shard, items.factors.shape[1]).of_new(size):
        count, nothing = len(names), np.zeros_like(described.prior)
        rules = np.full(count, cold_start.POPULARITY, object)
        yield Visitors(names, SparseRows.empty(count), np.zeros(count, np.float32), nothing, rules, *described)


def _checked_rows(path: str, plan: Plan, shard: int) -> Iterator[SparseRows]:
    """Read a shard's rows and check them, so that no answer comes from a row of something else; raise UserError."""
    last = -1
    for batch in tfrecords.read_row_batches(path):
        if problem := _problem(batch, plan, shard, last):
            raise UserError(f"{path} contains {problem}; make the dataset again")
        last = int(batch.keys[-1])
        yield replace(batch, indices=batch.indices.astype(np.int32))


def _problem(batch: SparseRows, plan: Plan, shard: int, last: int) -> str | None:
    """Return what is wrong with rows that follow the key `last`."""
    keys, indices = batch.keys, batch.indices
    if (np.diff(keys, prepend=last) <= 0).any() or (keys % plan.user_shards != shard).any() or keys[-1] >= plan.users:
        return "rows of other visitors, or rows in another order"
    if len(indices) and not 0 <= indices.min() <= indices.max() < plan.items:
        return "items that are not in the vocabulary"
    if batch.unordered_entry() is not None:
        return "a row whose items repeat or do not ascend"
    return None if np.isfinite(batch.values).all() else "ratings that are not finite"


def _by_rules(plan: Plan, items: Items, block: Visitors) -> Visitors:
    """Return the block with the rule of each visitor, and with projected factors where the rules ask for them."""
    counts, limits = block.rows.lengths, plan.cold_start
    known = np.ones(len(block), bool)
    least = limits.min_ratings, limits.min_site_ratings
    chosen = cold_start.rules(known, counts, plan.interactions, *least, block.described)
    rules = np.full(len(block), cold_start.POPULARITY, object)
    rules[chosen.factors] = cold_start.PROJECTION if plan.projected else cold_start.FACTORS
    rules[chosen.projection] = cold_start.PROJECTION
    rules[chosen.attributes] = cold_start.by_attributes(plan.cold_start.new_visitors)
    positions = np.flatnonzero(counts > 0 if plan.projected else chosen.projection)
    factors = np.where(chosen.attributes[:, None], block.prior, block.factors)
    if len(positions):
        prior = block.prior[positions]
        factors[positions] = fold_in(prior, items.projection, block.rows.take(positions), block.weights[positions])
    return replace(block, factors=factors, rules=rules)


def rows_by_block(batches: Iterable[SparseRows], keys: range, size: int) -> Iterator[SparseRows]:
    """Regroup a shard's rows into blocks of `size` of its keys, ascending; a key without a record is an empty row."""
    waiting, start = SparseRows.empty(0), 0
    for batch in itertools.chain(batches, [None]):
        complete = len(keys)  # positions in `keys` before this one have all their entries
        if batch is not None:
            complete = (int(batch.keys[-1]) - keys.start) // keys.step
            waiting = SparseRows.concatenated([waiting, batch])
        while start < len(keys) and min(start + size, len(keys)) <= complete:
            block = keys[start : start + size]
            end = int(np.searchsorted(waiting.keys, block[-1], side="right"))
            yield waiting.between(0, end).at(np.asarray(block))
            waiting, start = waiting.between(end, len(waiting)), start + size
