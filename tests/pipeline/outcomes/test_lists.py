"""Lists of recommendations are read from each format, and a file that is not one is named."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.outcomes.live import lists

ANSWERS = [
    {"visitorId": "ann", "rule": "factors", "recommendations": [{"contentId": "tea", "rank": 1, "score": 0.5}]},
    {"visitorId": "bob", "rule": "popularity", "recommendations": []},
    {
        "visitorId": "cid",
        "rule": "projection",
        "recommendations": [{"contentId": "cup", "rank": 1, "score": 0.4}, {"contentId": "é", "rank": 2, "score": 0.3}],
    },
]
ENTRIES = [
    (b"ann", 7, "factors", b"tea", 1, None, None),
    (b"cid", 7, "projection", b"cup", 1, None, None),
    (b"cid", 7, "projection", "é".encode(), 2, None, None),
]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_entries_are_the_same_from_each_format(tmp_path, suffix):
    path = tmp_path / f"predictions-00000-of-00001.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(ANSWERS), path)
    else:
        path.write_text("".join(f"{json.dumps(answer, ensure_ascii=False)}\n" for answer in ANSWERS))
    batches = list(lists.predicted(str(path), 7))
    assert all(batch.schema.equals(lists.PREDICTED) for batch in batches)
    assert [tuple(row.values()) for batch in batches for row in batch.to_pylist()] == ENTRIES


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, suffix):
    path = tmp_path / f"predictions.{suffix}"
    for data in (b"PAR", b'{"visitorId": "ann"'):
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"predictions.{suffix} cannot be read; predict again"):
            list(lists.predicted(str(path), 0))
