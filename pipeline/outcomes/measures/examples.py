"""Visitors with and without a hit, as examples: what they had, their list, and what they came for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.manifests.outcome import Visitor
from artifacts.sparse_rows import SparseRows
from pipeline.interactions import splits
from pipeline.outcomes.live.items import Items
from pipeline.outcomes.measures.tally import EXAMPLES, Drawn

_SEED = 11
_SHOWN = 10  # items of each kind


class Met(NamedTuple):
    """Visitors [n] who came for something. ids: theirs; lists: codes int64 [n, k], -1 after the last; rules: object.

    had, came: a row of codes per visitor.
    """

    ids: pa.BinaryArray
    lists: np.ndarray
    rules: np.ndarray
    had: SparseRows
    came: SparseRows


def draw(met: Met, hits: np.ndarray, items: Items, others: pa.BinaryArray) -> Iterator[tuple[bool, list[Drawn]]]:
    """Yield some visitors with a hit, and some without, by a hash of their ids, which are not shown.

    hits: bool [n, k], of the lists. others: the ids of codes after those of `items`.
    """
    has_hit = np.bincount(np.nonzero(hits)[0], minlength=len(hits)) > 0
    hashes = splits.hash_ids(met.ids.dictionary_encode(), _SEED)
    for hit in (True, False):
        rows = np.flatnonzero(has_hit == hit)
        first = rows[np.argsort(hashes[rows], kind="stable")[:EXAMPLES]]
        yield hit, [Drawn(int(hashes[row]), _shown(met, row, items, others)) for row in first.tolist()]


def _shown(met: Met, row: int, items: Items, others: pa.BinaryArray) -> str:
    def names(codes: np.ndarray) -> list[str]:
        known = len(items.ids)
        ids = [items.ids[code] if code < known else others[code - known] for code in codes[:_SHOWN].tolist()]
        return [name.as_py().decode("utf-8", "backslashreplace") for name in ids]

    had, came = (rows.indices[slice(*rows.indptr[row : row + 2])] for rows in (met.had, met.came))
    listed = met.lists[row][met.lists[row] >= 0]
    visitor = Visitor(rule=met.rules[row], had=names(had), listed=names(listed), came=names(came))
    return visitor.model_dump_json()
