"""Exact top K over a compressed table: the same answers as `ranking.topk`, from a quarter of the bytes.

A pass over the compressed rows knows each score within a bound: lower <= score <= upper. The k-th greatest lower bound
of all items is a score that k items reach, so only an item whose upper bound reaches it can belong to the best. These
candidates, a few hundred of a million, are scored exactly, in the order of `ranking.topk`. If there are too many of
them, all items are looked at.

With u = t p + w (p int16) and v = s q + r, the score is u . v = t s p . q + t p . r + w . v. The first part is a sum of
integers, exact in int32, and |t p . r + w . v| <= |t p| |r| + |w| |v|. The slack adds what float32 rounds: the first
part three times, the bound twice, their sum, and the score itself as an answer, 2^-24 of |u| |v| each; twice as much
is taken. So an item whose upper bound is below is below as a rounded score, too, and does not tie.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.compressed import kernels
from ranking.compressed.kernels import Candidates, Queries, View
from ranking.compressed.table import Compressed
from ranking.heap import Best
from ranking.machine import cores
from ranking.neighbourhood import Addends, AmongVisitors, Term

_LARGEST_SLACK = 1e30  # above it, a bound could leave float32
_ALL = np.zeros(0, np.bool_)


class Limits(NamedTuple):
    """Sizes that change no answer."""

    candidates: int = 1 << 16  # per query and part; with more, all items are looked at
    alone: int = 1 << 22  # numbers of a pass that one core reads sooner than several can share
    queries: int = 64  # that a pass answers together
    by_rows: int = 4  # queries whose products with the rows themselves take less time than with the compressed ones


LIMITS = Limits()


class Table(NamedTuple):
    """A table to search: rows float32 [n, d], as they are or as directions."""

    rows: np.ndarray  # float32 [n, d]
    compressed: Compressed  # of the rows, or of their directions
    greatest: float  # at least the length of each row, or 1
    norms: np.ndarray  # float64 [n], by which rows are divided; empty if they count as they are

    @classmethod
    def of(cls, rows: np.ndarray, compressed: Compressed, norms: np.ndarray) -> Table:
        """Return a table whose rows count as they are; norms: float64 [n], their lengths, 1 for a row of zeros."""
        longest = norms[compressed.scales > 0].max(initial=0), compressed.errors.max(initial=0)
        return cls(rows, compressed, float(max(longest)), np.zeros(0))

    def directions(self, norms: np.ndarray) -> Table:
        """Return the table of directions, by the lengths float64 [n] of the rows."""
        return Table(self.rows, self.compressed.directions(norms), 1.0 + 2.0**-20, norms)

    def row(self, indices: np.ndarray) -> np.ndarray:
        """Return rows as they count, float32 [b, d]."""
        chosen = self.rows[indices]
        return (chosen / self.norms[indices][:, None]).astype(np.float32) if len(self.norms) else chosen


def top_k(
    queries: np.ndarray,
    table: Table,
    left_out: SparseRows,
    k: int,
    *,
    term: Term | AmongVisitors | None = None,
    allowed: np.ndarray = _ALL,
    limits: Limits = LIMITS,
) -> Best:
    """Return what `ranking.topk.top_k` does over the rows of a table as they count.

    Args:
        queries: float32 [b, d].
        left_out: b rows of the items that each query is not given, ascending.
        term: what the neighbourhood adds to scores, of these queries; None adds nothing.
        allowed: bool [n], the items that may be answers; empty for all.
    """
    best = Best.empty(len(queries), k)
    for start in range(0, len(queries), limits.queries):
        rows = slice(start, min(start + limits.queries, len(queries)))
        addends = Addends.none(rows.stop - rows.start, 1)
        if term is not None:
            addends = term.addends(rows, len(table.rows), len(table.rows))
        prepared = _prepared(queries[rows], table, left_out.between(rows.start, rows.stop), addends)
        _answer(prepared._replace(allowed=allowed), table, best.rows(rows), limits)
    return best


def _prepared(queries: np.ndarray, table: Table, left_out: SparseRows, addends: Addends) -> Queries:
    (count, d), width = queries.shape, table.compressed.rows.shape[1]
    most = min(np.iinfo(np.int16).max, np.iinfo(np.int32).max // (127 * width))  # so that no sum leaves int32
    scales = (np.abs(queries).max(axis=1, initial=0) / np.float32(most)).astype(np.float32)
    wide = queries.astype(np.float64)
    step = np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
    whole = np.zeros((count, width), np.int16)
    whole[:, :d] = np.clip(np.rint(wide / step), -most, most)
    approximate = whole[:, :d] * step
    lengths, rests, norms = (np.linalg.norm(part, axis=1) for part in (approximate, wide - approximate, wide))
    products = norms * table.greatest
    slacks = 1.01 * (rests * table.greatest + 2.0**-20 * products + 2.0**-22 * addends.greatest) + 2.0**-120
    errors = 1.01 * ((d + 8) * 2.0**-24 * products + 4 * 2.0**-24 * addends.greatest + (d + 8) * 2.0**-126)
    errors[(products == 0) & (addends.greatest == 0)] = 0
    up = np.float32(1 + 2.0**-20)
    return Queries(
        exact=np.ascontiguousarray(queries),
        whole=whole,
        scales=scales,
        lengths=lengths.astype(np.float32) * up,
        slacks=slacks.astype(np.float32) * up,
        errors=errors,
        starts=left_out.indptr,
        left_out=left_out.indices,
        allowed=_ALL,
        addends=addends,
    )


def _answer(queries: Queries, table: Table, best: Best, limits: Limits) -> None:
    """Fill the lists of some queries."""
    size, (count, k) = len(table.rows), best.indices.shape
    parts = 1 if count * table.compressed.rows.size < limits.alone else cores()
    edges = [size * part // parts for part in range(parts + 1)]
    kept, view = min(k, size), View(table.rows, table.norms)
    by_rows = count >= limits.by_rows and not len(table.norms)
    if by_rows:
        queries = queries._replace(slacks=np.nextafter(queries.errors.astype(np.float32), np.float32(np.inf)))

    def scan(part: int) -> Candidates:
        candidates = Candidates.none(count, kept, min(limits.candidates, edges[part + 1] - edges[part]))
        if by_rows:
            kernels.scan_rows(edges[part], edges[part + 1], queries, table.rows, candidates)
        else:
            kernels.scan(edges[part], edges[part + 1], queries, table.compressed, candidates)
        return candidates

    scanned = threads.shared(scan, range(parts))
    lower = np.concatenate([part.lower for part in scanned], axis=1)
    least = -np.partition(-lower, kept - 1, axis=1)[:, kept - 1] if kept else lower[:, :0]
    undecided = np.max([part.counts > part.indices.shape[1] for part in scanned], axis=0)
    undecided |= queries.slacks > _LARGEST_SLACK

    def settle(part: int) -> None:
        rows = count * part // parts, count * (part + 1) // parts
        kernels.settle(*rows, queries, view, tuple(scanned), kernels.Decided(least, undecided), best)

    if kept:
        threads.shared(settle, range(parts))
