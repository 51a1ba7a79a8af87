"""Lists of a run, which are parsed some visitors at a time, and come as one batch of columns."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.outcomes.live import lists


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_entries_of_many_visitors_are_one_batch(tmp_path, form):
    rows: list[dict[str, Any]] = []
    for number in range(2500):
        entries = [{"contentId": f"c{(number + rank) % 7}", "rank": rank} for rank in range(1, number % 3 + 1)]
        rows.append(
            {"visitorId": f"v{number}", "rule": "factors", "variant": "ab"[number % 2], "recommendations": entries}
        )
    path = tmp_path / f"lists.{form}"
    if form == "jsonl":
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    (batch,) = lists.predicted(str(path), 3)
    expected = [
        {"visitorId": row["visitorId"].encode(), "run": 3, "rule": "factors", "contentId": entry["contentId"].encode(),
         "rank": entry["rank"], "variant": row["variant"], "propensity": None}
        for row in rows for entry in row["recommendations"]
    ]  # fmt: skip
    assert batch.to_pylist() == expected and len(batch["contentId"].dictionary) == 7
