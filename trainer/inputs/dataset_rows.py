"""A dataset's TFRecords -> sparse rows.

The row is the record's key, not its position. A key may have several records in one file, the pieces of a long row:
they are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from artifacts import checksums, factor_tables, tfrecords
from artifacts.checksums import FileDescription
from artifacts.items_table import ItemsTable
from artifacts.manifests import DatasetManifest
from artifacts.names import LAST_TIME_MS, VIEW_DAYS
from artifacts.paths import Dataset, join
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import RatingSettings
from ranking import threads


class DatasetInfo(NamedTuple):
    """A dataset's directory, its manifest, and what is read most of that."""

    root: str
    manifest: DatasetManifest
    users: int
    items: int
    interactions: int
    rating: RatingSettings  # the settings of its ratings
    fingerprint: str

    def shards(self, prefix: str) -> tuple[str, ...]:
        """Return the paths of one side's files, in order; prefix: `Dataset.items_for_user` or `users_for_item`."""
        name = prefix.rsplit("/", 1)[1]
        paths = tuple(join(self.root, file) for file in sorted(self.manifest.files) if file.startswith(f"{name}-"))
        if not paths:
            raise UserError(f"{self.root} has no {name}-* files; make the dataset again")
        return paths

    def row_files(self, prefix: str, rank: int = 0, processes: int = 1) -> RowFiles:
        """Return one side's files, or the held-out ones, as rows; see `shards` and `RowFiles`."""
        sizes = (self.users, self.items)
        if prefix == Dataset(self.root).users_for_item:
            sizes = (self.items, self.users)
        return RowFiles(self.shards(prefix), *sizes, rank, processes)


def read_info(root: str) -> DatasetInfo:
    """Read a dataset's manifest; raise UserError if a file that training reads is missing or damaged."""
    manifest = DatasetManifest.read(Dataset(root).manifest)
    _check_files(Dataset(root), manifest.all_files())
    counts = (manifest.counts.users, manifest.counts.items, manifest.counts.interactions)
    return DatasetInfo(root, manifest, *counts, manifest.settings.rating, manifest.fingerprint())


def last_view_ms(info: DatasetInfo) -> int | None:
    """Return the time of the dataset's last view, in ms since 1970; None without times."""
    table = ItemsTable.read(Dataset(info.root).items, optional=(LAST_TIME_MS,))
    if LAST_TIME_MS not in table.table.column_names or not np.isfinite(table.last_time_ms).any():
        return None
    return int(np.nanmax(table.last_time_ms))


def view_days(info: DatasetInfo, blocks: Sequence[SparseRows]) -> np.ndarray | None:
    """Return the day of each entry of `SparseRows.stacked(blocks)`, int64 [nnz] since 1970; None without times.

    blocks: all files of `items_for_user`, in order.

    Raises:
        UserError: a file is missing or damaged, or does not belong to the rows.
    """
    if VIEW_DAYS not in info.manifest.shards:
        return None
    timed = []
    for path, block in zip(info.shards(Dataset(info.root).view_days), blocks, strict=True):
        days = factor_tables.read_array(path)
        if days.shape != block.indices.shape or days.dtype != np.uint16:
            raise UserError(f"{path} does not have a day for each entry of its rows; make the dataset again")
        timed.append(replace(block, values=days.astype(np.float32)))
    return SparseRows.stacked(timed, info.users).values.astype(np.int64)


def _check_files(dataset: Dataset, files: dict[str, FileDescription]) -> None:
    """Check against the manifest what no reader would notice.

    TensorFlow takes a file that was cut off near the end of a record for a whole one, and a flipped bit in a vocabulary
    is another id; flipped bits in rows are found by the records' own checksums.
    """
    rows = dataset.items_for_user, dataset.users_for_item, dataset.held_out, dataset.view_days
    vocabularies = dataset.vocab_users, dataset.vocab_items
    for prefixes, check_bytes in ((rows, False), (vocabularies, True)):
        checked = {name: file for name, file in files.items() if join(dataset.root, name).startswith(prefixes)}
        for problem in checksums.problems(dataset.root, checked, check_bytes):
            raise UserError(f"{dataset.root}/{problem}; make the dataset again")


@dataclass(frozen=True)
class RowFiles:
    """One side of a dataset, a block of rows per file. Each iteration reads the files again; `load` reads them once."""

    paths: tuple[str, ...]  # TFRecords, gzip if they end in .gz
    size: int  # rows over all files
    others: int  # columns
    rank: int = 0  # this process owns the keys with key % processes == rank
    processes: int = 1

    def __iter__(self) -> Iterator[SparseRows]:
        """Prefetch the next file while the caller works on one."""
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            ahead = None
            for path in self._own_paths:
                following = pool.submit(self._read, path)
                if ahead is not None:
                    yield ahead.result()
                ahead = following
            if ahead is not None:
                yield ahead.result()

    def _read(self, path: str) -> SparseRows:
        rows = read_rows(path, self.size, self.others)
        if self.processes == 1:
            return rows
        rows = rows.take(np.flatnonzero(rows.keys % self.processes == self.rank))
        return replace(rows, keys=rows.keys // self.processes)

    @property
    def _own_paths(self) -> tuple[str, ...]:
        # Shard s of n contains the keys s, s + n, ...: if n is a multiple of the processes, a file has one owner.
        one_owner = len(self.paths) % self.processes == 0
        return self.paths[self.rank :: self.processes] if one_owner else self.paths

    def load(self) -> list[SparseRows]:
        """Return all blocks, to keep in memory; the files are read in parallel."""
        return threads.each(self._read, self._own_paths)


def count(blocks: Iterable[SparseRows], size: int) -> np.ndarray:
    """Return int64 [size], the entries of each key over the blocks."""
    counts = np.zeros(size, np.int64)
    for block in blocks:
        counts[block.keys] += block.lengths
    return counts


def read_rows(path: str, size: int, others: int, records: int = 4096) -> SparseRows:
    """Read one file of rows with keys below `size` and indices below `others`; return them sorted by key.

    records: parsed at once. Raise UserError, naming the file and the row, if the file is missing or damaged, or a key,
    an index or a value is wrong.
    """
    rows = SparseRows.concatenated(list(tfrecords.read_row_batches(path, records))).joined()
    _check_range(path, rows.keys, size, "key")
    _check_range(path, rows.indices, others, "index")
    wrong, unordered = np.flatnonzero(~np.isfinite(rows.values)), rows.unordered_entry()
    if not ((rows.weights >= 0) & (rows.weights < np.inf)).all():
        raise UserError(f"{path} has a weight that is negative or not finite; make the dataset again")
    if len(wrong):
        raise UserError(f"{path}: row {rows.key_of(wrong[0])} has a value that is not finite")
    if unordered is not None:
        raise UserError(f"{path}: the indices of row {rows.key_of(unordered)} do not ascend or repeat")
    return replace(rows, indices=rows.indices.astype(np.int32))


def _check_range(path: str, numbers: np.ndarray, limit: int, name: str) -> None:
    wrong = numbers[(numbers < 0) | (numbers >= limit)]
    if len(wrong):
        raise UserError(f"{path}: {name} {wrong[0]} is not in 0..{limit - 1}; make the dataset again")
