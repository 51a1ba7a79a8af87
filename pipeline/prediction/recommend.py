"""Items for visitors, and items like items: each worker has all items in memory, and answers shard by shard."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from artifacts import storage
from artifacts.checksums import FileDescription, SummedFile
from artifacts.paths import Predictions, shard_name
from artifacts.sparse_rows import SparseRows
from pipeline.beam.counters import StepCounter
from pipeline.prediction import visitors
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from pipeline.prediction.visitors import Visitors
from pipeline.prediction.writers.answers import WORDS, Answers, Reasons
from pipeline.prediction.writers.formats import TABLE, WRITERS
from ranking import cold_start, explain
from ranking.heap import Best

_COUNTER = StepCounter("write")


class Written(NamedTuple):
    """The files of a shard by name, and the counts of their answers."""

    files: dict[str, FileDescription]
    counts: Counter[str]


def write(plan: Plan, root: str, shard: int, shards: int, blocks: Iterable[Answers]) -> Written:
    """Write blocks of answers to a shard's file of each format, and count them."""
    options, counts = plan.options, Counter[str]()
    prefix = shard_name(Predictions(root).prefix(options.kind), shard, shards)
    formats = [*options.formats, *([TABLE] if options.table else [])]
    paths = [prefix + WRITERS[form].suffix for form in formats]
    # A file appears when it is complete, so a bundle that fails leaves none, and one that runs twice leaves one.
    with contextlib.ExitStack() as stack:
        files = [SummedFile(stack.enter_context(storage.open_to_write(path))) for path in paths]
        kinds = zip(formats, files, strict=True)
        writers = [WRITERS[form](cast(BinaryIO, file), WORDS[options.kind], plan.stamp) for form, file in kinds]
        for block in blocks:
            for writer in writers:
                writer.write(block)
            counts.update(Counter(f"rule.{rule}" for rule in block.rules))
            counts.update(
                answered=len(block),
                entries=int(block.counts.sum()),
                new_entries=0 if options.returns_visitors else int((block.best.indices >= plan.items).sum()),
                with_fewer=int((block.counts < options.top_k).sum()),
                without=int((block.counts == 0).sum()),
            )
        for writer in writers:
            writer.finish()
    described, records = {}, counts["answered"]
    for path, file in zip(paths, files, strict=True):
        description = FileDescription(bytes=file.tell(), crc32c=file.hexdigest(), records=records)
        described[path.rpartition("/")[2]] = description
        _COUNTER.add(records, file.tell())
    return Written(described, counts)


def answers(plan: Plan, items: Items, shard: int) -> Iterator[Answers]:
    """Yield the answers of a shard, of either kind."""
    if plan.options.asks_visitors:
        return recommendations(plan, items, shard, plan.asked_ids())
    return similar_items(plan, items, shard, plan.answer_shards)


def recommendations(plan: Plan, items: Items, shard: int, only: frozenset[bytes] | None) -> Iterator[Answers]:
    """Yield the answers to a shard's visitors; those without items after the others.

    The first shard also answers visitors that the dataset lacks.
    """
    for block in visitors.read(plan, items, shard, plan.block_size, only):
        yield _recommend(plan, items, block)
    for block in visitors.read_new(plan, items, shard, plan.block_size, only):
        yield _recommend(plan, items, block)
    if shard == 0:
        for start in range(0, len(plan.unknown), plan.block_size):
            ids = plan.unknown[start : start + plan.block_size]
            best = items.popular(SparseRows.empty(len(ids)))
            rules = [cold_start.POPULARITY] * len(ids)
            yield Answers(ids, rules, items.names, best, _no_reasons(plan, best))


def _recommend(plan: Plan, items: Items, block: Visitors) -> Answers:
    options, best = plan.options, Best.empty(len(block), plan.options.top_k)
    left_out = SparseRows.empty(len(block)) if options.include_seen else block.rows.left_out()
    by_popularity = block.rules == cold_start.POPULARITY
    known, unknown = np.flatnonzero(~by_popularity), np.flatnonzero(by_popularity)
    if len(known):
        excluded, has = (rows if not len(unknown) else rows.take(known) for rows in (left_out, block.rows))
        best.indices[known], best.scores[known] = items.best(block.factors[known], excluded, has)
    if len(unknown):
        best.indices[unknown], best.scores[unknown] = items.popular(left_out.take(unknown))
    return Answers(block.ids, block.rules.tolist(), items.names, best, _explain(plan, items, block, best))


def _no_reasons(plan: Plan, best: Best) -> Reasons | None:
    if not plan.options.explanation:
        return None
    shape = *best.indices.shape, plan.options.explanation
    return Reasons(np.full(shape, -1, np.int64), np.zeros(shape, np.float32))


def _explain(plan: Plan, items: Items, block: Visitors, best: Best) -> Reasons | None:
    """Return each visitor's items of the greatest contributions to each recommendation; none for popularity."""
    reasons = _no_reasons(plan, best)
    if reasons is None:
        return None
    for row in np.flatnonzero((block.rules != cold_start.POPULARITY) & (block.rows.lengths > 0)).tolist():
        own = block.rows.between(row, row + 1)
        answers = best.indices[row][best.indices[row] >= 0]
        shares = explain.contributions(items.projection, own, block.weights[row], items.factors[answers])
        if items.neighbourhood:
            shares += items.neighbourhood.contributions(own.indices, answers)
        first = explain.greatest(shares, own.indices, plan.options.explanation)
        reasons.items[row, : len(answers), : first.indices.shape[1]] = first.indices
        reasons.contributions[row, : len(answers), : first.indices.shape[1]] = first.scores
    return reasons


def similar_items(plan: Plan, items: Items, shard: int, shards: int) -> Iterator[Answers]:
    """Yield the answers to a part of the items: the items like each, without itself."""
    asked, ids = np.arange(len(items.names.ids)), items.names.ids
    if (only := plan.asked_ids()) is not None:
        asked = np.array([item for item, name in enumerate(ids) if name in only], np.int64)
    part = np.array_split(asked, shards)[shard]
    for start in range(0, len(part), plan.block_size):
        block = part[start : start + plan.block_size]
        best = items.best(items.compared[block], SparseRows.single(block))
        rules = np.where(block < plan.items, cold_start.FACTORS, cold_start.ATTRIBUTES).tolist()
        yield Answers([ids[item] for item in block], rules, items.names, best)
