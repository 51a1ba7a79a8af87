"""Items that were shown to a visitor and not clicked: the files of them, and the items that rest for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts import storage
from artifacts.manifests import OutcomeManifest
from artifacts.names import CONTENT_ID, VISITOR_ID
from artifacts.paths import OutcomeFiles, join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError

PREFIX, NUMBER = "unclicked", "number"
# One row per visitor and item. number: of exposures, each of which counts less with its age.
SCHEMA = pa.schema({VISITOR_ID: pa.binary(), CONTENT_ID: pa.binary(), NUMBER: pa.float32()})


def write(root: str, shard: int, shards: int, rows: pa.Table) -> None:
    """Write the rows of some visitors, columns of SCHEMA."""
    with storage.open_to_write(shard_name(join(root, PREFIX), shard, shards, ".parquet")) as file:
        pq.write_table(rows, file, compression="zstd")


class Resting:
    """The items that each visitor was shown too often without a click."""

    def __init__(self, places: dict[bytes, int], indptr: np.ndarray, items: np.ndarray):
        self._places, self._indptr, self._items = places, indptr, items

    @classmethod
    def read(cls, root: str, weight: float, names: Sequence[bytes]) -> Resting:
        """Read those of the items `names` whose exposures, times the weight, add up to 1 or more.

        Raise UserError if the outcome is not finished, or has no such files.
        """
        manifest = OutcomeManifest.read(OutcomeFiles(root).manifest)
        files = [name for name in sorted(manifest.all_files()) if name.startswith(f"{PREFIX}-")]
        if not files:
            raise UserError(f"{root} has no {PREFIX}-* files; set outcome.unclicked_half_life_days and measure again")
        known, parts = pa.array(list(names), pa.binary()), [SCHEMA.empty_table()]
        for name in files:
            with storage.open_to_read(join(root, name)) as file:
                table = pq.read_table(file)
            # float32: five times 0.2 are 1
            parts.append(table.filter(pc.greater_equal(pc.multiply(table[NUMBER], pa.scalar(weight, pa.float32())), 1)))
        table = pa.concat_tables(parts).sort_by([(VISITOR_ID, "ascending")])
        items = pc.index_in(table[CONTENT_ID], value_set=known).combine_chunks()
        kept = items.is_valid()
        visitors = table[VISITOR_ID].combine_chunks().filter(kept)
        encoded = visitors.dictionary_encode()  # in the order of the rows
        counts = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
        places = {name: place for place, name in enumerate(encoded.dictionary.to_pylist())}
        return cls(places, np.append(0, np.cumsum(counts)), items.filter(kept).to_numpy().astype(np.int64))

    def of(self, visitor: bytes) -> np.ndarray:
        """Return the items of a visitor that rest, int64, in no order."""
        place = self._places.get(visitor)
        return self._items[:0] if place is None else self._items[slice(*self._indptr[place : place + 2])]

    def added_to(self, left_out: SparseRows, visitors: Sequence[bytes]) -> SparseRows:
        """Return rows of what is left out of the visitors' lists, in order, with the items that rest."""
        rest = [self.of(visitor) for visitor in visitors]
        lengths = np.array([len(items) for items in rest])
        if not lengths.any():
            return left_out
        rows = np.concatenate([np.repeat(np.arange(len(rest)), each) for each in (left_out.lengths, lengths)])
        items = np.concatenate([left_out.indices, *rest]).astype(np.int64)
        size = int(items.max()) + 1
        keys = np.unique(rows * size + items)
        indptr = np.append(0, np.cumsum(np.bincount(keys // size, minlength=len(rest))))
        indices = (keys % size).astype(left_out.indices.dtype)
        return SparseRows(left_out.keys, indptr, indices, np.ones(len(indices), np.float32))
