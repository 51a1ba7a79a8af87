"""One shard of visitors -> its files of predictions: a Beam DoFn, and the streams it goes through."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from configs import cold_start
from configs.artifacts import Dataset, Model, Predictions, shard_name
from pipeline import tfrecords
from pipeline.examples import Rows
from pipeline.prediction import factors, scoring
from pipeline.prediction.answers import RECOMMENDATIONS, Answers, Names
from pipeline.prediction.writers import AnswerFile
from pipeline.vocabulary import iterate_vocabulary, read_vocabulary


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know: where things lie, and how much of them there is."""

    dataset: Dataset
    model: Model
    users: int
    items: int
    user_shards: int
    item_shards: int
    compressed: bool
    top_k: int
    include_seen: bool
    block_size: int
    formats: tuple[str, ...]


class Catalogue:
    """All contents, ordered by their ids' bytes, so that the lower place wins a tie.

    factors float32[items, k]; place_of int64[items]: place of each itemId; names: the ids.
    """

    def __init__(self, plan: Plan):
        ids = read_vocabulary(plan.dataset.vocab_items)
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        self.factors = factors.read_table(plan.model.item_factors, plan.item_shards, plan.items)[order]
        self.place_of = np.empty(len(ids), np.int64)
        self.place_of[order] = np.arange(len(ids))
        self.names = Names([ids[item] for item in order])


class PredictShard(beam.DoFn):
    """shard -> a description of each of its files: name, records, recommendations, bytes, crc32c."""

    def __init__(self, plan: Plan, root: str):
        self._plan, self._root, self._shared = plan, root, Shared()

    def setup(self) -> None:
        self._catalogue = self._shared.acquire(lambda: Catalogue(self._plan))

    def process(self, shard: int) -> Iterator[dict]:
        plan = self._plan
        prefix = shard_name(Predictions(self._root).text, shard, plan.user_shards)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(AnswerFile(prefix, form, RECOMMENDATIONS)) for form in plan.formats]
            short = 0
            for visitors, places, scores in self._recommendations(shard):
                rules = [cold_start.FACTORS] * len(visitors)
                answers = Answers(visitors, rules, self._catalogue.names, places, scores)
                short += int((answers.counts < plan.top_k).sum())
                for file in files:
                    file.write(answers)
        for file in files:
            yield file.describe() | {"with_fewer": short}

    def _recommendations(self, shard: int) -> Iterator[tuple[list[bytes], np.ndarray, np.ndarray]]:
        """Blocks of visitors: their ids, and the places and scores of their recommendations."""
        plan, catalogue = self._plan, self._catalogue
        rows = len(range(shard, plan.users, plan.user_shards))
        path = shard_name(plan.dataset.items_for_user, shard, plan.user_shards, ".gz" if plan.compressed else "")
        seen = seen_by_block(tfrecords.read_row_batches(path), plan.user_shards, rows, plan.block_size)
        blocks = factors.read_blocks(plan.model.user_factors, shard, plan.user_shards, rows, plan.block_size)
        ids = itertools.islice(iterate_vocabulary(plan.dataset.vocab_users), shard, None, plan.user_shards)
        for users, (offsets, items) in zip(blocks, seen, strict=True):
            visitors = list(itertools.islice(ids, len(users)))
            if plan.include_seen:
                offsets, items = np.zeros_like(offsets), items[:0]
            places = catalogue.place_of[items]
            yield visitors, *scoring.top_k(users, catalogue.factors, offsets, places, plan.top_k)


def seen_by_block(
    batches: Iterable[Rows], shards: int, rows: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Regroups a shard's records, keys ascending, into blocks of `size` of its rows, also those without a record.

    Yields:
        offsets int64[b + 1] and itemIds int64[offsets[b]] of each block.
    """
    held_rows, held_items, start = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    for batch in itertools.chain(batches, [None]):
        complete = rows  # rows below this have all their entries
        if batch is not None:
            complete = int(batch.keys[-1]) // shards
            held_rows = np.concatenate([held_rows, np.repeat(batch.keys // shards, np.diff(batch.offsets))])
            held_items = np.concatenate([held_items, batch.indices])
        while start < rows and min(start + size, rows) <= complete:
            stop = min(start + size, rows)
            cut = int(np.searchsorted(held_rows, stop))
            counts = np.bincount(held_rows[:cut] - start, minlength=stop - start)
            yield np.concatenate([[0], np.cumsum(counts)]), held_items[:cut]
            held_rows, held_items, start = held_rows[cut:], held_items[cut:], stop
