"""Visitors for items, and visitors like visitors: the visitors stream by, and the best of them are combined.

A worker has the asked in memory (items or listed visitors), and a block of the visitors that may be answers. For a
block of the asked, such a block yields an Arrow table of rows (asked, score, userId, visitorId), best first. The job
merges these tables, so that few more than K entries of each asked exist anywhere, however many visitors there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from artifacts import id_lists
from artifacts.sparse_rows import SparseRows
from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns
from pipeline.prediction import visitors
from pipeline.prediction.asked import Asked, block_rows, vectors
from pipeline.prediction.plan import Plan
from pipeline.prediction.visitors import Visitors
from pipeline.prediction.writers.answers import Answers, Names
from ranking.heap import Best
from ranking.topk import top_k

_COUNTER = StepCounter("score")
_ASKED, _SCORE, _USER, _ID = "asked", "score", "user", "id"
_BEST = pa.schema([(_ASKED, pa.int32()), (_SCORE, pa.float32()), (_USER, pa.int64()), (_ID, pa.binary())])
EMPTY = columns.to_bytes(pa.RecordBatch.from_pylist([], _BEST))


def best_of_shard(plan: Plan, asked: Asked, shard: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number of a block of the asked, a table of the best of some visitors of the shard)."""
    for block in visitors.read(plan, asked.items, shard, block_rows(asked.items), None):
        allowed = np.flatnonzero(id_lists.allowed(block.ids, plan.options.allow, plan.options.block))
        if len(allowed):
            yield from best_of_block(plan, asked, block.take(allowed))


def best_of_block(plan: Plan, asked: Asked, block: Visitors) -> Iterator[tuple[int, bytes]]:
    """Yield a table of the best of these visitors for each block of the asked."""
    table, ids = vectors(plan, block.factors), pa.array(block.ids, pa.binary())
    users, least = pa.array(block.rows.keys), plan.options.min_score
    left_out = _left_out(plan, asked, block)
    for number, start in enumerate(asked.blocks()):
        queries = asked.vectors[start : start + asked.block]
        last = start + len(queries)
        term = asked.term.among(block.rows, start, last) if asked.term else None
        best = top_k(queries, table, left_out.between(start, last), plan.options.top_k, term=term)
        given = best.indices >= 0
        if least is not None:
            given &= best.scores >= np.float32(least)
        positions, rows = np.nonzero(given)[0].astype(np.int32), pa.array(best.indices[given])
        entries = [pa.array(positions), pa.array(best.scores[given]), users.take(rows), ids.take(rows)]
        encoded = columns.to_bytes(pa.RecordBatch.from_arrays(entries, schema=_BEST))
        _COUNTER.add(len(positions), len(encoded))
        yield number, encoded


def _left_out(plan: Plan, asked: Asked, block: Visitors) -> SparseRows:
    """Return the positions in the block of the visitors that each of the asked is not given: one row per asked."""
    if plan.options.asks_visitors:
        positions, rows = asked.positions(block.rows.keys), np.arange(len(block))
    elif plan.options.include_seen:
        return SparseRows.empty(len(asked.ids))
    else:
        own = block.rows.left_out()
        positions, rows = asked.positions(own.indices), np.repeat(np.arange(len(block)), own.lengths)
    kept = np.flatnonzero(positions >= 0)
    kept = kept[np.argsort(positions[kept], kind="stable")]
    indptr = np.searchsorted(positions[kept], np.arange(len(asked.ids) + 1))
    return SparseRows(np.arange(len(asked.ids)), indptr, rows[kept].astype(np.int32), np.ones(len(kept), np.float32))


def merge(tables: Iterable[bytes], k: int) -> bytes:
    """Return the k best of each asked among all tables, by asked, score descending, userId ascending."""
    table = columns.from_bytes(iter(tables)).combine_chunks()
    table = table.sort_by([(_ASKED, "ascending"), (_SCORE, "descending"), (_USER, "ascending")])
    batches = table.filter(pa.array(_ranks(table[_ASKED].to_numpy()) < k)).combine_chunks().to_batches()
    return columns.to_bytes(batches[0]) if batches else EMPTY


def _ranks(asked: np.ndarray) -> np.ndarray:
    """Return the position, from 0, of each row among those with its number; numbers ascend."""
    return np.arange(len(asked)) - np.searchsorted(asked, asked)


def answers(plan: Plan, asked: Asked, number: int, best: bytes) -> Answers:
    """Return the answers of a block of the asked, of a merged table of the best."""
    part = slice(number * asked.block, (number + 1) * asked.block)
    return as_answers(asked.ids[part], asked.rules[part], columns.from_bytes(iter([best])), plan.options.top_k)


def as_answers(ids: list[bytes], rules: list[str], table: pa.Table, k: int) -> Answers:
    """Return a merged table as a block of answers."""
    names = table[_ID].combine_chunks().dictionary_encode()
    asked = table[_ASKED].to_numpy()
    best, rank = Best.empty(len(ids), k), _ranks(asked)
    best.indices[asked, rank], best.scores[asked, rank] = names.indices.to_numpy(), table[_SCORE].to_numpy()
    return Answers(ids, rules, Names(names.dictionary.to_pylist()), best)
