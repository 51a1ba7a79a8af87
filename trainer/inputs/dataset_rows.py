"""A dataset's TFRecords -> sparse rows.

The row is the record's key, not its position. A key may have several records in one file, the pieces of a long row:
they are joined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from artifacts import checksums
from artifacts.checksums import FileDescription
from artifacts.manifests import DatasetManifest
from artifacts.names import INDICES, KEY, VALUES
from artifacts.paths import Dataset, join
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import RatingSettings
from ranking import threads

_FEATURES = {
    KEY: tf.io.FixedLenFeature([], tf.int64),
    INDICES: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    VALUES: tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64),
}


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset's directory and its manifest."""

    root: str
    manifest: DatasetManifest

    @property
    def users(self) -> int:
        return self.manifest.counts.users

    @property
    def items(self) -> int:
        return self.manifest.counts.items

    @property
    def interactions(self) -> int:
        return self.manifest.counts.interactions

    @property
    def rating(self) -> RatingSettings:
        """The settings of the dataset's ratings."""
        return self.manifest.settings.rating

    @cached_property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint()

    def has(self, prefix: str) -> bool:
        """Return whether the dataset has files of this prefix."""
        name = prefix.rsplit("/", 1)[1]
        return any(file.startswith(f"{name}-") for file in self.manifest.files)

    def shards(self, prefix: str) -> tuple[str, ...]:
        """Return the paths of one side's files, in order; prefix: `Dataset.items_for_user` or `users_for_item`.

        Raises:
            UserError: the manifest lists none.
        """
        name = prefix.rsplit("/", 1)[1]
        paths = tuple(join(self.root, file) for file in sorted(self.manifest.files) if file.startswith(f"{name}-"))
        if not paths:
            raise UserError(f"{self.root} has no {name}-* files; make the dataset again")
        return paths


def read_info(root: str) -> DatasetInfo:
    """Read a dataset's manifest, and check the files that training reads.

    Raises:
        UserError: the directory has no manifest of this schema version, or a file is missing or damaged.
    """
    manifest = DatasetManifest.read(Dataset(root).manifest)
    _check_files(Dataset(root), manifest.all_files())
    return DatasetInfo(root, manifest)


def _check_files(dataset: Dataset, files: dict[str, FileDescription]) -> None:
    """Check against the manifest what no reader would notice.

    TensorFlow takes a file that was cut off near the end of a record for a whole one, and a flipped bit in a vocabulary
    is another id; flipped bits in rows are found by the records' own checksums.
    """
    rows = dataset.items_for_user, dataset.users_for_item, dataset.held_out
    vocabularies = dataset.vocab_users, dataset.vocab_items
    for prefixes, check_bytes in ((rows, False), (vocabularies, True)):
        checked = {name: file for name, file in files.items() if join(dataset.root, name).startswith(prefixes)}
        for problem in checksums.problems(dataset.root, checked, check_bytes):
            raise UserError(f"{dataset.root}/{problem}; make the dataset again")


@dataclass(frozen=True)
class RowFiles:
    """One side of a dataset, one block of rows per file. Each iteration reads the files again; `load` reads them once.

    Attributes:
        paths: TFRecords, gzip if they end in .gz.
        size, others: rows and columns over all files.
        rank, processes: this process owns the keys with key % processes == rank.
    """

    paths: tuple[str, ...]
    size: int
    others: int
    rank: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[SparseRows]:
        """Prefetch the next file while the caller works on one."""
        paths = self._own_paths
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            ahead = [pool.submit(self._read, path) for path in paths[:1]]
            for path in (*paths[1:], None):
                block = ahead.pop().result()
                if path is not None:
                    ahead.append(pool.submit(self._read, path))
                yield block

    def _read(self, path: str) -> SparseRows:
        return self._own(read_rows(path, self.size, self.others))

    @property
    def _own_paths(self) -> tuple[str, ...]:
        # Shard s of n contains the keys s, s + n, ...: if n is a multiple of the processes, a file has one owner.
        one_owner = len(self.paths) % self.processes == 0
        return self.paths[self.rank :: self.processes] if one_owner else self.paths

    def _own(self, rows: SparseRows) -> SparseRows:
        if self.processes == 1:
            return rows
        rows = rows.take(np.flatnonzero(rows.keys % self.processes == self.rank))
        return SparseRows(rows.keys // self.processes, rows.indptr, rows.indices, rows.values, rows.weights)

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

    Args:
        records: parsed at once.

    Raises:
        UserError: the file is missing, truncated, damaged, or does not contain rows; or a key, an index or a value is
            wrong. The message names the file and the row.
    """
    keys, lengths, indices, values = [], [], [], []
    compression = "GZIP" if path.endswith(".gz") else ""
    try:
        for batch in tf.data.TFRecordDataset(path, compression).batch(records):
            parsed = tf.io.parse_example(batch, _FEATURES)
            entries, ratings = parsed[INDICES], parsed[VALUES]
            starts, found = entries.row_splits.numpy(), entries.values.numpy()
            if not np.array_equal(starts, ratings.row_splits.numpy()):
                raise UserError(f"{path}: a row has more or fewer values than indices; make the dataset again")
            keys.append(parsed[KEY].numpy())
            lengths.append(np.diff(starts))
            _check_range(path, found, others, "index")
            indices.append(found.astype(np.int32))
            values.append(ratings.values.numpy())
    except tf.errors.NotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        reason = f"{path} is damaged or does not contain rows ({_short(error)})"
        raise UserError(f"{reason}; make the dataset again") from error
    return _assemble(path, size, keys, lengths, indices, values)


def _assemble(path: str, size: int, keys: list, lengths: list, indices: list, values: list) -> SparseRows:
    if not keys:
        return SparseRows.empty(0)
    key = np.concatenate(keys)
    _check_range(path, key, size, "key")
    indptr = np.zeros(len(key) + 1, np.int64)
    np.cumsum(np.concatenate(lengths), out=indptr[1:])
    rows = SparseRows(key, indptr, np.concatenate(indices), np.concatenate(values))
    if np.any(np.diff(key) <= 0):
        rows = rows.joined()
    _check_rows(path, rows)
    return rows


def _check_range(path: str, found: np.ndarray, limit: int, what: str) -> None:
    if len(found) and not 0 <= found.min() <= found.max() < limit:
        wrong = (found < 0) | (found >= limit)
        raise UserError(f"{path}: {what} {found[wrong][0]} is not in 0..{limit - 1}; make the dataset again")


def _check_rows(path: str, rows: SparseRows) -> None:
    wrong = np.flatnonzero(~np.isfinite(rows.values))
    if len(wrong):
        raise UserError(f"{path}: row {rows.key_of(wrong[0])} has a value that is not finite")
    falls = np.diff(rows.indices) <= 0
    ends = rows.indptr[1:-1] - 1  # from one row to the next the index may fall
    falls[ends[(ends >= 0) & (ends < len(falls))]] = False
    if falls.any():
        raise UserError(f"{path}: the indices of row {rows.key_of(int(np.argmax(falls)))} do not ascend or repeat")


def _short(error: tf.errors.OpError) -> str:
    return " ".join(json.dumps(error.message)[1:-1].replace("\\n", " ").split())[:160]
