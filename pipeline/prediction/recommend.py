"""Items for visitors, and items like items: each worker holds all items, and answers shard by shard."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from artifacts import id_lists
from artifacts.paths import Predictions, shard_name
from pipeline.beam.counters import StepCounter
from pipeline.prediction import rank, visitors
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from pipeline.prediction.visitors import Visitors
from pipeline.prediction.writers.answers import WORDS, Answers, Reasons
from pipeline.prediction.writers.formats import TABLE, AnswerFile
from ranking import cold_start, topk

_COUNTER = StepCounter("write")


class AnswerShard(beam.DoFn):
    """shard -> what its files hold: {"files": descriptions, "counts": a Counter}."""

    def __init__(self, plan: Plan, root: str, shards: int):
        self._plan, self._root, self._shards, self._shared = plan, root, shards, Shared()

    def setup(self) -> None:
        self._items = self._shared.acquire(lambda: Items(self._plan))

    def process(self, shard: int) -> Iterator[dict]:
        plan, items = self._plan, self._items
        if plan.asks_visitors:
            answers = recommendations(plan, items, shard, wanted(plan))
        else:
            answers = similar_items(plan, items, shard, self._shards)
        yield write(plan, self._root, shard, self._shards, answers)


def write(plan: Plan, root: str, shard: int, shards: int, answers: Iterable[Answers]) -> dict:
    """Writes answers to a shard's file of each format, and counts them."""
    options, counts = plan.options, Counter[str]()
    prefix = shard_name(Predictions(root).prefix(options.kind), shard, shards)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(AnswerFile(prefix, form, WORDS[options.kind])) for form in options.formats]
        if options.table:
            files.append(stack.enter_context(AnswerFile(prefix, TABLE, WORDS[options.kind], plan.stamp)))
        for some in answers:
            for file in files:
                file.write(some)
            counts.update(Counter(f"rule.{rule}" for rule in some.rules))
            found = some.counts
            counts.update(
                answered=len(some),
                entries=int(found.sum()),
                with_fewer=int((found < options.top_k).sum()),
                without=int((found == 0).sum()),
            )
    described = [file.describe() for file in files]
    for about in described:
        _COUNTER.add(about["records"], about["bytes"])
    return {"files": described, "counts": counts}


def wanted(plan: Plan) -> frozenset[bytes] | None:
    """The ids to answer; None for all."""
    return frozenset(id_lists.read_ids(plan.options.only, "prediction.only")) if plan.options.only else None


def recommendations(plan: Plan, items: Items, shard: int, only: frozenset[bytes] | None) -> Iterator[Answers]:
    """The answers to a shard's visitors; the first shard also answers those that nobody knows."""
    for block in visitors.read(plan, items, shard, plan.block_size, only):
        yield _recommend(plan, items, block)
    if shard == 0:
        for start in range(0, len(plan.unknown), plan.block_size):
            some = plan.unknown[start : start + plan.block_size]
            none = np.zeros(len(some) + 1, np.int64), np.zeros(0, np.int64)
            found = rank.popular(items, *none, plan.options)
            rules = [cold_start.POPULARITY] * len(some)
            yield Answers(some, rules, items.names, *found, _no_reasons(plan, found[0]))


def _recommend(plan: Plan, items: Items, block: Visitors) -> Answers:
    options = plan.options
    offsets, left_out = block.offsets, block.places
    if options.include_seen:
        offsets, left_out = np.zeros_like(offsets), left_out[:0]
    places = np.full((len(block), options.top_k), -1, np.int64)
    scores = np.full((len(block), options.top_k), -np.inf, np.float32)
    strangers = block.rules == cold_start.POPULARITY
    for rows, popular in ((np.flatnonzero(~strangers), False), (np.flatnonzero(strangers), True)):
        if not len(rows):
            continue
        own = _rows(offsets, left_out, rows)
        if popular:
            places[rows], scores[rows] = rank.popular(items, *own, options)
        else:
            places[rows], scores[rows] = rank.best(items, block.factors[rows], *own, options)
    reasons = _explain(plan, items, block, places, strangers)
    return Answers(block.ids, block.rules.tolist(), items.names, places, scores, reasons)


def _rows(offsets: np.ndarray, values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (offsets, values) if len(rows) == len(offsets) - 1 else topk.rows_of(offsets, values, rows)


def _no_reasons(plan: Plan, places: np.ndarray) -> Reasons | None:
    if not plan.options.explanation:
        return None
    shape = *places.shape, plan.options.explanation
    return Reasons(np.full(shape, -1, np.int64), np.zeros(shape, np.float32))


def _explain(plan: Plan, items: Items, block: Visitors, places: np.ndarray, strangers: np.ndarray) -> Reasons | None:
    """The items of each visitor that carried each recommendation most; none where popularity answered."""
    reasons = _no_reasons(plan, places)
    if reasons is None:
        return None
    for row in np.flatnonzero(~strangers & (np.diff(block.offsets) > 0)):
        entries = slice(block.offsets[row], block.offsets[row + 1])
        order = np.argsort(block.places[entries])  # so that equal shares stand in the order of the ids' bytes
        own, ratings = block.places[entries][order], block.ratings[entries][order]
        found = places[row][places[row] >= 0]
        shares = items.projection.shares(own, ratings, block.weights[row], found).astype(np.float32)
        first = np.argsort(-shares, axis=1, kind="stable")[:, : plan.options.explanation]
        reasons.places[row, : len(found), : first.shape[1]] = own[first]
        reasons.shares[row, : len(found), : first.shape[1]] = np.take_along_axis(shares, first, 1)
    return reasons


def similar_items(plan: Plan, items: Items, shard: int, shards: int) -> Iterator[Answers]:
    """For a stretch of the items, those like each; without itself."""
    asked: Sequence[int] = range(len(items.names.ids))
    if (only := wanted(plan)) is not None:
        asked = [place for place, name in enumerate(items.names.ids) if name in only]
    own = np.array_split(np.asarray(asked, np.int64), shards)[shard]
    for start in range(0, len(own), plan.block_size):
        some = own[start : start + plan.block_size]
        found = rank.best(items, items.compared[some], np.arange(len(some) + 1), some, plan.options)
        names = [items.names.ids[place] for place in some]
        yield Answers(names, [cold_start.FACTORS] * len(some), items.names, *found)
