"""The features of a side: sparse rows of numbers, from attributes such as title, price and country.

A row is L2-normalised, or empty for one without attributes. The files have the layout of a dataset's rows; the
manifest has the width, and the attribute behind each column.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from artifacts import storage, tfrecords
from artifacts.checksums import FileDescription, describe_bytes
from artifacts.manifests import DatasetManifest
from artifacts.names import ITEM, Side
from artifacts.paths import Dataset, join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError

_BATCH = 1 << 20  # entries that are encoded at once
_REMEDY = "make the dataset again"


@dataclass(frozen=True)
class Features:
    """The rows of a side, in the order of its indices; the constant of a regression is not among the columns."""

    indptr: np.ndarray  # int64 [n + 1]
    indices: np.ndarray  # int32 [nnz], ascending in a row
    values: np.ndarray  # float32 [nnz]; the squares of a row add up to 1
    width: int  # number of columns

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def has_some(self) -> np.ndarray:
        """bool [n], whether a row has features."""
        return np.diff(self.indptr) > 0

    def matrix(self) -> scipy.sparse.csr_matrix:
        """Return the rows as a matrix of float32 [n, width]."""
        return scipy.sparse.csr_matrix((self.values, self.indices, self.indptr), (len(self), self.width))

    @classmethod
    def from_matrix(cls, matrix: scipy.sparse.csr_matrix) -> Features:
        """Return the rows of a CSR matrix with sorted indices, whose rows have length 1 or 0."""
        rows = SparseRows.from_matrix(matrix)
        return cls(rows.indptr, rows.indices, rows.values, matrix.shape[1])


def read_known(root: str, side: Side = ITEM) -> Features | None:
    """Return the features of a dataset's items (or visitors), row i of index i; None if the dataset has none.

    Raise UserError if a file is missing, damaged or does not fit the manifest.
    """
    manifest = DatasetManifest.read(Dataset(root).manifest)
    account = manifest.features_of(side)
    size = manifest.counts.items if side == ITEM else manifest.counts.users
    return _read(root, manifest, side.features, account.width, size) if account else None


def read_new(root: str, side: Side = ITEM) -> tuple[list[bytes], Features] | None:
    """Return the ids of the items (or visitors) that are not in the vocabulary, and their features.

    Items ascend by their ids. None if the dataset has no features; see `read_known`.
    """
    manifest = DatasetManifest.read(Dataset(root).manifest)
    account = manifest.features_of(side)
    if account is None:
        return None
    ids = [b""] * account.new
    for path in _paths(root, manifest, side.new):
        for key, name in tfrecords.read_ids(path):
            if not 0 <= key < len(ids):
                raise UserError(f"{path} has more new {side.plural} than the manifest states; {_REMEDY}")
            ids[key] = name
    return ids, _read(root, manifest, side.new, account.width, account.new)


def _read(root: str, manifest: DatasetManifest, prefix: str, width: int, size: int) -> Features:
    blocks = [block for path in _paths(root, manifest, prefix) for block in tfrecords.read_row_batches(path)]
    keys = np.sort(np.concatenate([block.keys for block in blocks])) if blocks else np.zeros(0, np.int64)
    if not np.array_equal(keys, np.arange(size)):
        raise UserError(f"{root}: {prefix}-* has not one row for each of {size}; {_REMEDY}")
    if any(len(block.indices) and block.indices.max() >= width for block in blocks):
        raise UserError(f"{root}: {prefix}-* has a feature outside the width {width} of the manifest; {_REMEDY}")
    rows = SparseRows.stacked(blocks, size)
    return Features(rows.indptr, rows.indices, rows.values, width)


def _paths(root: str, manifest: DatasetManifest, prefix: str) -> list[str]:
    names = sorted(name for name in manifest.files if name.startswith(f"{prefix}-"))
    if not names:
        raise UserError(f"{root} has no {prefix}-* files; {_REMEDY}")
    return [join(root, name) for name in names]


def write(
    root: str,
    prefix: str,
    features: Features,
    ids: Sequence[bytes] | None = None,
    shards: int = 1,
    compressed: bool = False,
) -> dict[str, FileDescription]:
    """Write the files of a prefix below a root, and return their descriptions by name; ids: of new items, [n]."""
    rows = SparseRows(np.arange(len(features), dtype=np.int64), features.indptr, features.indices, features.values)
    described = {}
    for shard in range(shards):
        positions = np.arange(shard, len(rows), shards)
        shard_ids = None if ids is None else [ids[position] for position in positions.tolist()]
        name = shard_name(prefix, shard, shards, ".gz" if compressed else "")
        described[name] = write_shard(join(root, name), [rows.take(positions)], [shard_ids])
    return described


def write_shard(
    path: str, blocks: Iterable[SparseRows], ids: Iterable[Sequence[bytes] | None], batch: int = _BATCH
) -> FileDescription:
    """Write blocks of rows, each with its ids or None, to one file, compressed if it ends in .gz."""
    pieces, records, entries = [], 0, 0
    for block, names in zip(blocks, ids, strict=True):
        first = 0
        for part in block.split(batch):
            part_ids = None if names is None else names[first : first + len(part)]
            examples, begins = tfrecords.encode(part, part_ids)
            pieces.append(tfrecords.frame(examples, begins.tolist()))
            first += len(part)
        records, entries = records + len(block), entries + block.entries
    data = b"".join(pieces)
    if path.endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)  # no time stamp: same rows, same bytes
    storage.write_bytes(path, data)
    return describe_bytes(data, records=records, interactions=entries)
