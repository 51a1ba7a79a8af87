"""items.parquet: what is known of each item, one row per item, in the order of the itemIds."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import names, storage
from configs.errors import UserError

_REMEDY = "rerun wals preprocess --replace"


class _Column:
    """An attribute whose value is a column of the table as an array."""

    def __init__(self, name: str, dtype: type | None = None):
        self._name, self._dtype = name, dtype

    def __get__(self, items: ItemsTable, kind: type) -> np.ndarray:
        values = items.table[self._name].to_numpy()
        return values if self._dtype is None else values.astype(self._dtype)


@dataclass(frozen=True)
class ItemsTable:
    """The table, by columns: `table` is as in the file, without the columns that were not asked for."""

    table: pa.Table

    visitors = _Column(names.VISITORS)  # int64 [m], visitors who have the item
    popularity = _Column(names.POPULARITY, np.float32)  # [m], visitors, or their sum decayed by the age of the view
    # float64 [m], ms since 1970 of the first and the last interaction; NaN without one, or if the dataset has no times
    first_time_ms = _Column(names.FIRST_TIME_MS, float)
    last_time_ms = _Column(names.LAST_TIME_MS, float)

    @classmethod
    def read(
        cls,
        path: str,
        size: int | None = None,
        columns: tuple[str, ...] = (names.CONTENT_ID,),
        optional: tuple[str, ...] = (),
    ) -> ItemsTable:
        """Read columns of the table, names of `artifacts.names`, and the optional ones if it has them.

        Raise UserError if the file does not exist, is damaged, lacks a column, or has not `size` items.
        """
        try:
            with storage.open_to_read(path) as file, pq.ParquetFile(file) as parquet:
                known = parquet.schema_arrow.names
                missing = set(columns) - set(known)
                if missing:
                    raise UserError(f"{path} has no column {min(missing)}; {_REMEDY}")
                table = parquet.read(columns=[*columns, *(name for name in optional if name in known)])
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; {_REMEDY}") from None
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}; {_REMEDY}") from error
        if size is not None and table.num_rows != size:
            raise UserError(f"{path} has {table.num_rows} rows where the dataset has {size} items; {_REMEDY}")
        return cls(table)

    def to_bytes(self) -> bytes:
        """Return the bytes of the file, the same for the same table."""
        sink = io.BytesIO()
        pq.write_table(self.table, sink, compression="zstd")
        return sink.getvalue()

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def content_ids(self) -> list[str]:
        """The contentId of each itemId."""
        return self.table[names.CONTENT_ID].to_pylist()

    @property
    def recent_popularity(self) -> np.ndarray | None:
        """float64 [m], visitors decayed by the age of the view; None if the dataset has no times."""
        column = self.table[names.RECENT_POPULARITY]
        return None if column.null_count else column.to_numpy()
