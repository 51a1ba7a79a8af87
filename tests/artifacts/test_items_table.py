"""items.parquet: columns as arrays, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from artifacts import storage
from artifacts.items_table import ItemsTable
from artifacts.names import CONTENT_ID, FIRST_TIME_MS, POPULARITY, RECENT_POPULARITY, VISITORS
from configs.errors import UserError


def test_columns_come_back_with_their_nulls(tmp_path):
    columns = {
        CONTENT_ID: ["b", "ä"],
        VISITORS: pa.array([3, 1], pa.int64()),
        POPULARITY: [3.0, 0.5],
        RECENT_POPULARITY: pa.nulls(2, pa.float64()),
        FIRST_TIME_MS: pa.array([1_700_000_000_000, None], pa.int64()),
    }
    path = str(tmp_path / "items.parquet")
    storage.write_bytes(path, ItemsTable(pa.table(columns)).to_bytes())
    items = ItemsTable.read(path, 2, tuple(columns))
    assert items.content_ids == ["b", "ä"] and items.visitors.tolist() == [3, 1] and len(items) == 2
    assert items.popularity.dtype == np.float32 and items.popularity.tolist() == [3.0, 0.5]
    assert items.recent_popularity is None
    assert np.array_equal(items.first_time_ms, [1.7e12, np.nan], equal_nan=True)
    assert ItemsTable.read(path, columns=(VISITORS,)).table.column_names == [VISITORS]
    with pytest.raises(UserError, match=r"has 2 rows where the dataset has 3 items; rerun"):
        ItemsTable.read(path, 3)
    with pytest.raises(UserError, match="has no column mean_rating"):
        ItemsTable.read(path, columns=("mean_rating",))
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UserError, match=r"cannot be read: .*; rerun wals preprocess"):
        ItemsTable.read(path)
    with pytest.raises(UserError, match="does not exist"):
        ItemsTable.read(f"{path}.none")
