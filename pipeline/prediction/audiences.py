"""Visitors for items, and visitors like visitors: the visitors stream by, the best of them are combined.

A worker holds those who are asked about, be they items or listed visitors, and a block of the visitors who may be
given. What a block of these gives for a block of the asked is an Arrow table of rows (asked, score, visitorId), best
first; a combiner merges such tables, so that few more than K entries of each asked are anywhere, however many visitors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.utils.shared import Shared

from artifacts import id_lists, publish
from artifacts.paths import join
from artifacts.vocabulary import order_of
from pipeline.beam.counters import StepCounter
from pipeline.beam.finalize import TEMPORARY
from pipeline.interactions import columns
from pipeline.prediction import recommend, visitors
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from pipeline.prediction.visitors import Visitors
from pipeline.prediction.writers.answers import Answers, Names
from ranking import cold_start, similarity, topk

SCORED = "scored-"  # begins the names of files, one a shard of visitors, that tell whoever watches of it

_COUNTER = StepCounter("score")
_ASKED, _SCORE, _ID = "asked", "score", "id"
_BEST = pa.schema([pa.field(_ASKED, pa.int32()), pa.field(_SCORE, pa.float32()), pa.field(_ID, pa.binary())])
_FACTORS = 1 << 22  # numbers of a block of visitors' factors: 16 MB
_WAITING = 4  # tables of K entries that a combiner lets lie before it merges them


class Asked:
    """Those who are asked about, in the order of their ids' bytes.

    Attributes:
        ids: [q]. vectors: float32 [q, d], to be multiplied with the visitors'. rules: [q].
        rank_of: int64 [m], for items: the position among the asked of each place, -1 where it is not asked.
    """

    def __init__(self, plan: Plan, items: Items):
        if plan.asks_visitors:
            self._ask_visitors(plan, items)
        else:
            self._ask_items(plan, items)
        # Entries of the answers of a block.
        self.block = max(1, min(plan.options.block_size, (1 << 18) // plan.options.top_k))

    def _ask_items(self, plan: Plan, items: Items) -> None:
        wanted = recommend.wanted(plan)
        names = items.names.ids
        places = [p for p, name in enumerate(names) if items.allowed[p] and (wanted is None or name in wanted)]
        ids = [names[place] for place in places] + list(plan.unknown)
        vectors = np.concatenate([items.factors[places], np.repeat(items.mean[None], len(plan.unknown), 0)])
        rules = [cold_start.FACTORS] * len(places) + [cold_start.MEAN_ITEM] * len(plan.unknown)
        order = order_of(ids)
        self.ids, self.vectors = [ids[n] for n in order], np.ascontiguousarray(vectors[order])
        self.rules = [rules[n] for n in order]
        known = order < len(places)
        self.rank_of = np.full(len(names), -1, np.int64)
        self.rank_of[np.asarray(places, np.int64)[order[known]]] = np.flatnonzero(known)

    def _ask_visitors(self, plan: Plan, items: Items) -> None:
        wanted, ids, vectors, rules = recommend.wanted(plan), [], [], []
        for shard in range(plan.user_shards):
            for block in visitors.read(plan, items, shard, _rows(items), wanted):
                ids += block.ids
                vectors.append(_vectors(plan, block.factors))
                # Of whom popularity would answer, the factors are compared all the same.
                projected = block.rules == cold_start.PROJECTION
                rules += np.where(projected, cold_start.PROJECTION, cold_start.FACTORS).tolist()
        order = order_of(ids)
        table = np.concatenate(vectors) if vectors else np.zeros((0, items.factors.shape[1]), np.float32)
        self.ids, self.vectors = [ids[n] for n in order], table[order]
        self.rules = [rules[n] for n in order]
        self.rank = {name: rank for rank, name in enumerate(self.ids)}

    def blocks(self) -> range:
        return range(0, len(self.ids), self.block)


def _rows(items: Items) -> int:
    """Visitors of a block."""
    return max(256, _FACTORS // items.factors.shape[1])


def _vectors(plan: Plan, table: np.ndarray) -> np.ndarray:
    similar = plan.options.kind == "similar_visitors" and plan.options.metric == "cosine"
    return similarity.directions(table) if similar else table


class World:
    """What a worker of these kinds holds."""

    def __init__(self, plan: Plan):
        self.items = Items(plan)
        self.asked = Asked(plan, self.items)


class ScoreShard(beam.DoFn):
    """shard of visitors -> (number of a block of the asked, a table of the best of some visitors)."""

    def __init__(self, plan: Plan, root: str, shared: Shared):
        self._plan, self._root, self._shared = plan, root, shared

    def setup(self) -> None:
        self._world = self._shared.acquire(lambda: World(self._plan))

    def process(self, shard: int) -> Iterator[tuple[int, bytes]]:
        plan, world = self._plan, self._world
        for block in visitors.read(plan, world.items, shard, _rows(world.items), None):
            allowed = id_lists.allowed(block.ids, plan.options.allow, plan.options.block)
            # In the order of the ids' bytes, so that the lower position wins a tie.
            rows = np.array([row for row in order_of(block.ids) if allowed[row]], np.int64)
            if len(rows):
                yield from self._best(block.take(rows))
        publish.write_file(join(self._root, TEMPORARY, f"{SCORED}{shard:05d}.txt"), b"done\n")

    def _best(self, block: Visitors) -> Iterator[tuple[int, bytes]]:
        plan, asked = self._plan, self._world.asked
        table, names = _vectors(plan, block.factors), pa.array(block.ids, pa.binary())
        owners, rows = _left_out(plan, asked, block)
        for number, start in enumerate(asked.blocks()):
            queries = asked.vectors[start : start + asked.block]
            low, high = np.searchsorted(owners, [start, start + len(queries)])
            offsets = np.searchsorted(owners[low:high], np.arange(start, start + len(queries) + 1))
            found, scores = topk.top_k(queries, table, offsets, rows[low:high], plan.options.top_k)
            there = found >= 0
            if plan.options.min_score is not None:
                there &= scores >= np.float32(plan.options.min_score)
            positions = np.nonzero(there)[0].astype(np.int32)
            best = [pa.array(positions), pa.array(scores[there]), names.take(pa.array(found[there]))]
            reference = columns.to_bytes(pa.RecordBatch.from_arrays(best, schema=_BEST))
            _COUNTER.add(len(positions), len(reference))
            yield number, reference


def _left_out(plan: Plan, asked: Asked, block: Visitors) -> tuple[np.ndarray, np.ndarray]:
    """Who is not given to whom: positions among the asked, ascending, and rows of the block."""
    if plan.asks_visitors:
        ranks = np.array([asked.rank.get(name, -1) for name in block.ids], np.int64)
        rows = np.arange(len(block))
    else:
        ranks = asked.rank_of[block.places]
        rows = np.repeat(np.arange(len(block)), np.diff(block.offsets))
        if plan.options.include_seen:
            ranks = np.full_like(ranks, -1)
    kept = ranks >= 0
    order = np.argsort(ranks[kept], kind="stable")
    return ranks[kept][order], rows[kept][order]


class KeepBest(beam.CombineFn):
    """Merges tables of the best: the K greatest scores of each asked, ties by the visitorIds' bytes."""

    def __init__(self, k: int):
        self._k = k

    def create_accumulator(self) -> list[bytes]:
        return []

    def add_input(self, waiting: list[bytes], table: bytes) -> list[bytes]:
        return self.compact([*waiting, table]) if len(waiting) >= _WAITING else [*waiting, table]

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        merged: list[bytes] = []
        for waiting in accumulators:
            for table in waiting:
                merged = self.add_input(merged, table)
        return merged

    def compact(self, waiting: list[bytes]) -> list[bytes]:
        return [merge(waiting, self._k)] if len(waiting) > 1 else waiting

    def extract_output(self, waiting: list[bytes]) -> bytes:
        return merge(waiting, self._k)


def merge(tables: Iterable[bytes], k: int) -> bytes:
    """The k best of each asked among all tables, by asked, score descending, id ascending."""
    table = columns.from_bytes(iter(tables)).combine_chunks()
    table = table.sort_by([(_ASKED, "ascending"), (_SCORE, "descending"), (_ID, "ascending")])
    asked = table[_ASKED].to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], asked[1:] != asked[:-1]])) if len(asked) else np.zeros(0, int)
    rank = np.arange(len(asked)) - np.repeat(starts, np.diff(np.append(starts, len(asked))))
    batches = table.filter(pa.array(rank < k)).combine_chunks().to_batches()
    return columns.to_bytes(batches[0] if batches else pa.RecordBatch.from_pylist([], _BEST))


class WriteBlock(beam.DoFn):
    """(number of a block of the asked, tables of the best) -> what its files hold."""

    def __init__(self, plan: Plan, root: str, shared: Shared):
        self._plan, self._root, self._shared = plan, root, shared

    def setup(self) -> None:
        self._world = self._shared.acquire(lambda: World(self._plan))

    def process(self, element: tuple[int, bytes]) -> Iterator[dict]:
        number, table = element
        asked, k = self._world.asked, self._plan.options.top_k
        names = asked.ids[number * asked.block : (number + 1) * asked.block]
        rules = asked.rules[number * asked.block : (number + 1) * asked.block]
        found = columns.from_bytes(iter([table]))
        answers = as_answers(names, rules, found, k)
        yield recommend.write(self._plan, self._root, number, len(asked.blocks()), [answers])


def as_answers(names: list[bytes], rules: list[str], best: pa.Table, k: int) -> Answers:
    """A merged table as a block of answers."""
    ids = best[_ID].combine_chunks().dictionary_encode()
    asked = best[_ASKED].to_numpy()
    counts = np.bincount(asked, minlength=len(names))
    rank = np.arange(len(asked)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.full((len(names), k), -1, np.int64)
    scores = np.full((len(names), k), -np.inf, np.float32)
    places[asked, rank], scores[asked, rank] = ids.indices.to_numpy(), best[_SCORE].to_numpy()
    return Answers(names, rules, Names(ids.dictionary.to_pylist()), places, scores)


def build(pipeline: beam.Pipeline, plan: Plan, root: str) -> beam.PCollection:
    """shards of visitors -> what the files hold."""
    shared = Shared()
    empty = columns.to_bytes(pa.RecordBatch.from_pylist([], _BEST))
    best = (
        pipeline
        | "Shards" >> beam.Create(range(plan.user_shards), reshuffle=plan.user_shards > 1)
        | "Score" >> beam.ParDo(ScoreShard(plan, root, shared))
    )
    every = pipeline | "Every" >> beam.Create([None]) | "EveryBlock" >> beam.ParDo(_EveryBlock(plan, shared), empty)
    return (
        (best, every)
        | "All" >> beam.Flatten()
        | "KeepBest" >> beam.CombinePerKey(KeepBest(plan.options.top_k))
        | "Write" >> beam.ParDo(WriteBlock(plan, root, shared))
    )


class _EveryBlock(beam.DoFn):
    """Nothing for each block of the asked, so that each has its file."""

    def __init__(self, plan: Plan, shared: Shared):
        self._plan, self._shared = plan, shared

    def setup(self) -> None:
        self._world = self._shared.acquire(lambda: World(self._plan))

    def process(self, _: None, empty: bytes) -> Iterator[tuple[int, bytes]]:
        yield from ((number, empty) for number, _ in enumerate(self._world.asked.blocks()))
