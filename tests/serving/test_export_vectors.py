"""Vectors for databases: the model's factors by id, in the forms that Vertex AI Vector Search and others read."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from serving import export_vectors
from tests.support.served import ODD, known_as


def test_items_are_written_as_vertex_ai_reads_them(served_model, tmp_path, capsys):
    arguments = ["--model_dir", str(served_model / "model"), "--output", str(tmp_path / "v")]
    export_vectors.main(arguments)
    table = np.load(served_model / "model" / "saved_model" / "assets.extra" / "tables" / "items.npy")
    ids = (served_model / "model" / "saved_model" / "assets" / "vocab_items").read_bytes().split(b"\n")[:-1]
    lines = [json.loads(line) for line in (tmp_path / "v" / "items-00000-of-00001.json").read_bytes().splitlines()]
    unreadable = [name for name in ids if name == b"\xff\xfe"]
    assert unreadable and [line["id"].encode() for line in lines] == [name for name in ids if name not in unreadable]
    rows = [row for row, name in enumerate(ids) if name not in unreadable]
    np.testing.assert_array_equal(np.float32([line["embedding"] for line in lines]), table[rows])
    for line in lines:
        category = known_as(line["id"])[1]
        expected = [{"namespace": "category", "allow": [category]}] if category else None
        assert line.get("restricts") == expected
    printed = capsys.readouterr().out
    assert f"wrote {len(rows):,} vectors of items" in printed and "left out 1 whose ids are not UTF-8" in printed
    with pytest.raises(UserError, match="has files already"):
        export_vectors.main(arguments)


def test_visitors_are_written_as_parquet_at_length_1(served_model, tmp_path):
    saved_model = str(served_model / "model" / "saved_model")
    written, left_out = export_vectors.export(saved_model, str(tmp_path / "v"), "visitors", "parquet", by_cosine=True)
    table = pq.read_table(tmp_path / "v")
    assert table.column_names == ["visitorId", "embedding"] and table.num_rows == written and left_out == 1
    assert set(ODD) - {name.encode() for name in table["visitorId"].to_pylist()} == {b"\xff\xfe"}
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    titled, _ = export_vectors.export(saved_model, str(tmp_path / "i"), "items", "parquet")
    assert pq.read_table(tmp_path / "i").column_names == ["contentId", "embedding", "title", "category"] and titled


def test_a_model_without_tables_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no tables"):
        export_vectors.export(str(tmp_path), str(tmp_path / "v"), "items", "vertex")
