"""The Beam job of a prediction: the steps that run on workers, the summary of the files, and how progress is seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Set

import apache_beam as beam
from apache_beam.utils.shared import Shared

from artifacts import storage
from artifacts.paths import Predictions, join
from pipeline.beam import finalize
from pipeline.prediction import audiences, recommend
from pipeline.prediction.asked import Asked
from pipeline.prediction.execution import account
from pipeline.prediction.plan import Plan

_SCORED = "scored-"  # prefix of the files, one per shard of visitors, by which progress is shown
_WAITING = 4  # tables of K entries that a combiner collects before it merges them


def build(pipeline: beam.Pipeline, plan: Plan, staging: str) -> None:
    """Build the pipeline that writes the files of answers and their summary."""
    if plan.options.returns_visitors:
        written = _audiences(pipeline, plan, staging)
    else:
        shards = plan.answer_shards
        written = (
            pipeline
            | "Shards" >> beam.Create(range(shards), reshuffle=shards > 1)
            | "Answer" >> beam.ParDo(_AnswerShard(plan, staging))
        )
    (
        pipeline
        | "Once" >> beam.Create([join(staging, finalize.SUMMARY)])
        | "WriteSummary" >> beam.Map(_write_summary, beam.pvalue.AsIter(written))
    )


def _write_summary(path: str, shards: Iterable[recommend.Written]) -> None:
    finalize.write_summary(account.summary_of(shards), path)


class _AnswerShard(beam.DoFn):
    """shard -> what its files contain."""

    def __init__(self, plan: Plan, root: str):
        self._plan, self._root, self._shared = plan, root, Shared()

    def setup(self) -> None:
        self._loaded = self._shared.acquire(lambda: recommend.Loaded(self._plan))

    def process(self, shard: int) -> Iterator[recommend.Written]:
        plan = self._plan
        answers = recommend.answers(plan, self._loaded, shard)
        yield recommend.write(plan, self._root, shard, plan.answer_shards, answers)


def _audiences(pipeline: beam.Pipeline, plan: Plan, root: str) -> beam.PCollection:
    """Build shards of visitors -> what the files contain."""
    shared = plan, root, Shared()
    best = (
        pipeline
        | "Shards" >> beam.Create(range(plan.user_shards), reshuffle=plan.user_shards > 1)
        | "Score" >> beam.ParDo(_ScoreShard(*shared))
    )
    every = pipeline | "Every" >> beam.Create([None]) | "EveryBlock" >> beam.ParDo(_EveryBlock(*shared))
    return (
        (best, every)
        | "All" >> beam.Flatten()
        | "KeepBest" >> beam.CombinePerKey(_KeepBest(plan.options.top_k))
        | "Write" >> beam.ParDo(_WriteBlock(*shared))
    )


class _Step(beam.DoFn):
    """A step whose workers have the asked in memory; the steps of a job share them."""

    def __init__(self, plan: Plan, root: str, shared: Shared):
        self._plan, self._root, self._shared = plan, root, shared

    def setup(self) -> None:
        self._asked = self._shared.acquire(lambda: Asked(self._plan))


class _EveryBlock(_Step):
    """Yields an empty table for each block of the asked, so that each has a file."""

    def process(self, _: None) -> Iterator[tuple[int, bytes]]:
        yield from ((number, audiences.EMPTY) for number, _ in enumerate(self._asked.blocks()))


class _ScoreShard(_Step):
    """shard of visitors -> (number of a block of the asked, a table of the best of some visitors)."""

    def process(self, shard: int) -> Iterator[tuple[int, bytes]]:
        yield from audiences.best_of_shard(self._plan, self._asked, shard)
        storage.write_bytes(join(self._root, finalize.TEMPORARY, f"{_SCORED}{shard:05d}.txt"), b"done\n")


class _KeepBest(beam.CombineFn):
    """Merges tables of the best: the K greatest scores of each asked; of equal scores, the lower userIds."""

    def __init__(self, k: int):
        self._k = k

    def create_accumulator(self) -> list[bytes]:
        return []

    def add_input(self, waiting: list[bytes], table: bytes) -> list[bytes]:
        return self.compact([*waiting, table]) if len(waiting) >= _WAITING else [*waiting, table]

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        return functools.reduce(self.add_input, itertools.chain.from_iterable(accumulators), [])

    def compact(self, waiting: list[bytes]) -> list[bytes]:
        return [audiences.merge(waiting, self._k)] if len(waiting) > 1 else waiting

    def extract_output(self, waiting: list[bytes]) -> bytes:
        return audiences.merge(waiting, self._k)


class _WriteBlock(_Step):
    """(number of a block of the asked, a table of the best) -> what its files contain."""

    def process(self, element: tuple[int, bytes]) -> Iterator[recommend.Written]:
        number, table = element
        answers = audiences.answers(self._plan, self._asked, number, table)
        yield recommend.write(self._plan, self._root, number, len(self._asked.blocks()), [answers])


def files_due(plan: Plan) -> tuple[str, int]:
    """Return the prefix of the files that show progress, and the number of them at the end."""
    if plan.options.returns_visitors:
        return _SCORED, plan.user_shards
    prefix = Predictions("").prefix(plan.options.kind).rsplit("/", 1)[-1] + "-"
    return prefix, plan.answer_shards * (len(plan.options.formats) + bool(plan.options.table))


def remove_strays(staging: str, names: Set[str]) -> None:
    """Remove what a bundle that failed, or ran twice, left next to the files of the summary."""
    for name in storage.list_files(staging).keys() - names:
        storage.remove(join(staging, name))
