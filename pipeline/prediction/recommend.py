"""Items for visitors, and items like items: each worker has all items in memory, and answers shard by shard."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
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
from pipeline.prediction.writers.answers import WORDS, Answers, Arm, Reasons
from pipeline.prediction.writers.formats import TABLE, WRITERS
from ranking import cold_start, explain
from ranking.experiments import exploration
from ranking.experiments.assignment import Experiment
from ranking.experiments.exploration import Explored
from ranking.heap import Best

EXCLUDED = "excluded"  # in the counts, for visitors who are not part of the experiment
_COUNTER = StepCounter("write")


class Members(Container[bytes]):
    """The visitors of a variant, None for the excluded; only: those that are asked for, None for all."""

    def __init__(self, experiment: Experiment, variant: str | None, only: Container[bytes] | None):
        self._experiment, self._variant, self._only = experiment, variant, only

    def __contains__(self, visitor: object) -> bool:
        name = cast(bytes, visitor)
        return (self._only is None or name in self._only) and self._experiment.variant_of(name) == self._variant


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
        words = WORDS[options.kind]
        writers = [WRITERS[form](cast(BinaryIO, file), words, plan.stamp, plan.extra) for form, file in kinds]
        for block in blocks:
            for writer in writers:
                writer.write(block)
            counts.update(Counter(f"rule.{rule}" for rule in block.rules))
            if block.arm:
                counts[f"variant.{block.arm.variant or EXCLUDED}"] += len(block)
            counts["resting"] += block.rested
            if block.explored:
                counts["explored"] += int(block.explored.explored.sum())
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


class Loaded:
    """The items in a worker's memory, those of each model of the job."""

    def __init__(self, plan: Plan):
        self.items = Items(plan)
        self._of = {plan.model.root: self.items}
        for variant in plan.variants:
            if (root := variant.plan.model.root) not in self._of:
                self._of[root] = Items(variant.plan)

    def of(self, plan: Plan) -> Items:
        """Return the items of the model of a plan."""
        return self._of[plan.model.root]


def answers(plan: Plan, loaded: Loaded, shard: int) -> Iterator[Answers]:
    """Yield the answers of a shard, of either kind; those of one variant after those of another."""
    if not plan.options.asks_visitors:
        yield from similar_items(plan, loaded.items, shard, plan.answer_shards)
        return
    only = plan.asked_ids()
    if plan.experiment is None:
        yield from recommendations(plan, loaded.items, shard, only)
    for variant in plan.variants:
        its, items = variant.plan, loaded.of(variant.plan)
        members = Members(cast(Experiment, plan.experiment), variant.name, only)
        found = recommendations(its, items, shard, members, variant.is_holdout)
        arm = Arm(variant.name, its.stamp.model_version)
        yield from (replace(block, arm=arm) for block in found)


def recommendations(
    plan: Plan, items: Items, shard: int, only: Container[bytes] | None, is_holdout: bool = False
) -> Iterator[Answers]:
    """Yield the answers to a shard's visitors; those without items after the others.

    The first shard also answers visitors that the dataset lacks. is_holdout: popularity answers all, nothing explores.
    """
    share = 0.0 if is_holdout else plan.exploration.share
    for block in itertools.chain(
        visitors.read(plan, items, shard, plan.block_size, only),
        visitors.read_new(plan, items, shard, plan.block_size, only),
    ):
        if is_holdout:
            block = replace(block, rules=np.full(len(block), cold_start.POPULARITY, object))
        yield _recommend(plan, items, block, share)
    if shard == 0:
        unknown = [name for name in plan.unknown if only is None or name in only]
        for start in range(0, len(unknown), plan.block_size):
            ids = unknown[start : start + plan.block_size]
            left_out, rested = _with_resting(items, ids, SparseRows.empty(len(ids)))
            best, rules = items.popular(left_out), [cold_start.POPULARITY] * len(ids)
            explored = _explored(plan, items, ids, best, left_out, share)
            best = explored.best if explored else best
            reasons = _no_reasons(plan, best)
            yield Answers(ids, rules, items.names, best, reasons, explored=explored, rested=rested)


def _recommend(plan: Plan, items: Items, block: Visitors, share: float) -> Answers:
    options, best = plan.options, Best.empty(len(block), plan.options.top_k)
    left_out = SparseRows.empty(len(block)) if options.include_seen else block.rows.left_out()
    left_out, rested = _with_resting(items, block.ids, left_out)
    by_popularity, by_segment = (block.rules == rule for rule in (cold_start.POPULARITY, cold_start.SEGMENT))
    known, unknown = np.flatnonzero(~(by_popularity | by_segment)), np.flatnonzero(by_popularity)
    in_segments = np.flatnonzero(by_segment)
    if len(known):
        is_all = len(known) == len(block)
        excluded, has = (rows if is_all else rows.take(known) for rows in (left_out, block.rows))
        best.indices[known], best.scores[known] = items.best(block.factors[known], excluded, has)
    if len(unknown):
        best.indices[unknown], best.scores[unknown] = items.popular(left_out.take(unknown))
    if len(in_segments):
        found = items.popular_in(block.segments[in_segments], left_out.take(in_segments))
        best.indices[in_segments], best.scores[in_segments] = found
    has_newest = zip(block.rules.tolist(), items.are_newest(best).tolist(), strict=True)
    rules = [cold_start.with_newest(rule) if some else rule for rule, some in has_newest]
    explored = _explored(plan, items, block.ids, best, left_out, share)
    best = explored.best if explored else best
    reasons = _explain(plan, items, block, best)
    return Answers(block.ids, rules, items.names, best, reasons, explored=explored, rested=rested)


def _with_resting(items: Items, ids: Sequence[bytes], left_out: SparseRows) -> tuple[SparseRows, int]:
    """Return what is left out of visitors' lists with the items that rest for them, and the number of these."""
    if items.resting is None:
        return left_out, 0
    more = items.resting.added_to(left_out, ids)
    return more, more.entries - left_out.entries


def _explored(
    plan: Plan, items: Items, ids: Sequence[bytes], best: Best, left_out: SparseRows, share: float
) -> Explored | None:
    """Return the lists of visitors with explored slots, None if the share of these is 0."""
    if not share:
        return None
    day = plan.stamp.run_time.date().isoformat()
    of_visitors = exploration.keys(plan.exploration.seed, day, ids)
    return exploration.explore(best, items.least_known, left_out, share, of_visitors)


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
        answers = answers[answers < len(items.factors)]  # nothing explains the newest, which come last
        shares = explain.contributions(items.projection, own, block.weights[row], items.factors[answers])
        if items.neighbourhood:
            shares += items.neighbourhood.contributions(own.indices, answers)
        first = explain.greatest(shares, own.indices, plan.options.explanation)
        reasons.items[row, : len(answers), : first.indices.shape[1]] = first.indices
        reasons.contributions[row, : len(answers), : first.indices.shape[1]] = first.scores
    return reasons


def similar_items(plan: Plan, items: Items, shard: int, shards: int) -> Iterator[Answers]:
    """Yield the answers to a part of the items: the items like each, without itself."""
    ids = items.names.ids[: len(items.factors)]
    asked = np.arange(len(ids))
    if (only := plan.asked_ids()) is not None:
        asked = np.array([item for item, name in enumerate(ids) if name in only], np.int64)
    part = np.array_split(asked, shards)[shard]
    for start in range(0, len(part), plan.block_size):
        block = part[start : start + plan.block_size]
        best = items.best(items.compared[block], SparseRows.single(block))
        rules = np.where(block < plan.items, cold_start.FACTORS, cold_start.ATTRIBUTES).tolist()
        yield Answers([ids[item] for item in block], rules, items.names, best)
