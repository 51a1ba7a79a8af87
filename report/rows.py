"""The rows of a dataset as the report needs them: counts per item and visitor, and visitors to choose examples from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs import cli
from ranking.examples import Row
from trainer.inputs import dataset_rows

_FEWEST, _MOST = 5, 25  # items of a visitor that fits the page
_CANDIDATES = 500  # per file


@dataclass(frozen=True)
class RowStatistics:
    """Statistics of the users' rows."""

    users_per_item: np.ndarray  # int64 [items]
    items_per_user: np.ndarray  # int64 [users]
    candidates: list[Row]  # that may be shown as examples
    held_out: dict[int, np.ndarray]  # itemIds that are held out of a candidate, by userId


def read_rows(dataset: Dataset) -> RowStatistics:
    """Read the users' rows and show how far it is; one file is in memory at a time."""
    info = dataset_rows.read_info(dataset.root)
    statistics, done = RowStatistics(np.zeros(info.items, np.int64), np.zeros(info.users, np.int64), [], {}), 0
    with cli.progress("reading", info.users, "visitors", stderr=True) as bar:
        for block in info.row_files(dataset.items_for_user):
            statistics.users_per_item[:] += np.bincount(block.indices, minlength=info.items)
            statistics.items_per_user[block.keys] += block.lengths
            statistics.candidates.extend(candidates(block))
            done += len(block.keys)
            bar.update(done)
    chosen = {candidate.key for candidate in statistics.candidates}
    has_split = info.manifest.split.kind != "none"
    for block in info.row_files(dataset.held_out) if has_split else ():
        for row in np.flatnonzero(np.isin(block.keys, list(chosen))):
            entries = slice(block.indptr[row], block.indptr[row + 1])
            statistics.held_out[int(block.keys[row])] = block.indices[entries].copy()
    return statistics


def candidates(block: SparseRows) -> list[Row]:
    """Return visitors of a file with 5 to 25 items, or the longest rows if there are none."""
    fitting = np.flatnonzero((block.lengths >= _FEWEST) & (block.lengths <= _MOST))
    if not len(fitting):
        longest = np.argsort(-np.minimum(block.lengths, _MOST), kind="stable")
        fitting = longest[block.lengths[longest] > 0][:10]
    rows = []
    for row in fitting[:: max(1, len(fitting) // _CANDIDATES)][:_CANDIDATES]:
        entries = slice(block.indptr[row], block.indptr[row + 1])
        rows.append(Row(int(block.keys[row]), block.indices[entries].copy(), block.values[entries].copy()))
    return rows
