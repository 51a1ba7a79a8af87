"""TFRecords -> sparse rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts.paths import Dataset
from configs.errors import UserError
from tests.support.datasets import example, write_dataset, write_items
from trainer.inputs import dataset_rows


def write(path, records, options=None):
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def listed(rows):
    ends = zip(rows.keys, rows.indptr[:-1], rows.indptr[1:], strict=True)
    return {int(key): (rows.indices[a:b].tolist(), rows.values[a:b].tolist()) for key, a, b in ends}


@pytest.mark.parametrize("options", [None, "GZIP"])
def test_the_worked_example(tmp_path, options):
    """Spec section 3: the row is the key, never the position in the batch."""
    records = [(0, [2], [1.5]), (1, [0, 1], [3.5, 2.5]), (2, [0, 1, 2], [2.5, 1.5, 4.5]), (3, [2], [3.5])]
    path = write(tmp_path / ("rows.gz" if options else "rows"), [example(*record) for record in records], options)
    assert listed(dataset_rows.read_rows(path, 4, 3, records=2)) == {
        k: (indices, values) for k, indices, values in records
    }


@pytest.mark.parametrize(("times", "last"), [([1000, 3000, None], 3000), ([None] * 3, None), (None, None)])
def test_the_last_view_is_that_of_any_item(tmp_path, times, last):
    root = write_dataset(tmp_path / "dataset", sp.csr_matrix(np.ones((2, 3), "f")))
    more = {} if times is None else {"last_time_ms": pa.array(times, pa.int64())}
    write_items(Dataset(root), ["a", "b", "c"], np.ones(3), **more)
    info = dataset_rows.DatasetInfo(root, None, 2, 3, 6, None, "")
    assert dataset_rows.last_view_ms(info) == last


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_keys_out_of_order_empty_records_and_short_batches(tmp_path, batch):
    records = [(9, [1, 4], [1.0, 2.0]), (0, [], []), (5, [3], [7.0]), (2, [], []), (7, [0], [1.0])]
    path = write(tmp_path / "rows", [example(*record) for record in records])
    rows = dataset_rows.read_rows(path, 10, 5, records=batch)
    assert rows.keys.tolist() == [0, 2, 5, 7, 9]
    assert listed(rows) == {key: (indices, values) for key, indices, values in records}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 3)])
def test_pieces_of_a_long_row_are_joined(tmp_path, order):
    records = [(3, [0, 2], [1.0, 2.0]), (1, [5], [9.0]), (3, [4, 7], [3.0, 4.0]), (3, [8], [5.0])]
    records = [records[place] for place in order]
    path = write(tmp_path / "rows", [example(*record) for record in records])
    found = listed(dataset_rows.read_rows(path, 4, 9))
    assert found == {1: ([5], [9.0]), 3: ([0, 2, 4, 7, 8], [1.0, 2.0, 3.0, 4.0, 5.0])}


def test_an_empty_file_has_no_rows(tmp_path):
    rows = dataset_rows.read_rows(write(tmp_path / "rows", []), 4, 3)
    assert len(rows) == 0 and rows.entries == 0


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([(4, [0], [1.0])], r"key 4 is not in 0\.\.3"),
        ([(-1, [0], [1.0])], r"key -1 is not in 0\.\.3"),
        ([(0, [9], [1.0])], r"index 9 is not in 0\.\.8"),
        ([(0, [1], [1.0]), (2, [3, 2], [1.0, 1.0])], "indices of row 2 do not ascend"),
        ([(0, [1], [1.0]), (2, [3, 3], [1.0, 1.0])], "indices of row 2 do not ascend or repeat"),
        ([(1, [0, 1], [1.0, float("nan")])], "row 1 has a value that is not finite"),
        ([(1, [0, 1], [1.0])], "more or fewer values than indices"),
    ],
    ids=str,
)
def test_wrong_rows_are_named(tmp_path, records, message):
    path = write(tmp_path / "rows", [example(*record) for record in records])
    with pytest.raises(UserError, match=message) as error:
        dataset_rows.read_rows(path, 4, 9)
    assert path in str(error.value) and "\n" not in str(error.value)


def test_damaged_files_are_named(tmp_path):
    good = Path(write(tmp_path / "rows", [example(0, [1], [1.0])] * 3)).read_bytes()
    for content in (good[:-7], good[:20] + b"x" + good[21:]):
        path = tmp_path / "damaged"
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged") as error:
            dataset_rows.read_rows(str(path), 4, 9)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match="does not exist"):
        dataset_rows.read_rows(str(tmp_path / "none"), 4, 9)
    with pytest.raises(UserError, match="damaged or does not contain rows"):
        dataset_rows.read_rows(write(tmp_path / "other", [b"text"]), 4, 9)


@pytest.mark.parametrize("shards", [1, 3, 4])
@pytest.mark.parametrize("processes", [1, 2])
def test_processes_share_the_rows(tmp_path, shards, processes):
    matrix = sp.random(23, 11, 0.4, "csr", np.float32, np.random.default_rng(0))
    root = write_dataset(tmp_path / "d", matrix, shards=shards, compressed=shards == 3, piece=3)
    info = dataset_rows.read_info(root)
    assert (info.users, info.items, info.interactions) == (23, 11, matrix.nnz)
    found = np.zeros((23, 11), np.float32)
    for rank in range(processes):
        files = dataset_rows.RowFiles(info.shards(Dataset(root).items_for_user), 23, 11, rank, processes)
        blocks = files.load()
        expected = np.diff(matrix.indptr)[rank::processes]
        np.testing.assert_array_equal(dataset_rows.count(blocks, len(expected)), expected)
        for block in blocks:
            for key, (indices, values) in listed(block).items():
                found[key * processes + rank, indices] = values
    np.testing.assert_array_equal(found, matrix.toarray())


def test_a_dataset_must_be_whole_and_of_this_version(tmp_path):
    matrix = sp.random(5, 4, 0.5, "csr", np.float32, np.random.default_rng(0))
    root = write_dataset(tmp_path / "d", matrix)
    path = Path(Dataset(root).manifest)
    content = json.loads(path.read_text())
    for change, message in (
        ({"schema_version": 99}, "schema version 99"),
        ({"kind": "model"}, "is the manifest of a model, not of a dataset"),
        ({"counts": {}}, "lacks counts"),
        ({"files": {}}, r"no items_for_user-\* files"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(UserError, match=message):
            dataset_rows.read_info(root).shards(Dataset(root).items_for_user)
    path.unlink()
    with pytest.raises(UserError, match="is not a finished dataset"):
        dataset_rows.read_info(root)
