"""Features of items: what is written is read, by TensorFlow too, and what does not fit is refused."""

import gzip

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts import tfrecords
from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from tests.support.datasets import write_dataset
from tests.support.features import add_features, rows_of

RNG = np.random.default_rng(0)
ITEMS = sp.diags([1.0, 1, 1, 0, 1, 1, 1]) @ sp.random(7, 300, 0.05, "csr", random_state=RNG)
NEW = sp.random(5, 300, 0.03, "csr", random_state=RNG)
IDS = [b"a", b"b c", b"\xc3\xa9", b"x" * 200, b"z"]


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "dataset", np.ones((4, 7)))


@pytest.mark.parametrize("layout", [{}, {"shards": 3, "compressed": True}])
def test_what_is_written_is_read(root, layout):
    add_features(root, ITEMS, (IDS, NEW), **layout)
    items = feature_rows.read_known(root)
    ids, new = feature_rows.read_new(root)
    assert ids == IDS
    for rows, matrix in ((items, ITEMS), (new, NEW)):
        dense = matrix.toarray()
        lengths = np.linalg.norm(dense, axis=1, keepdims=True)
        np.testing.assert_allclose(rows.matrix().toarray(), dense / np.where(lengths > 0, lengths, 1), atol=1e-7)
        assert rows.indptr.dtype == np.int64 and rows.indices.dtype == np.int32 and rows.values.dtype == np.float32
        assert rows.width == dense.shape[1] and rows.has_some.tolist() == (lengths > 0).ravel().tolist()


def test_a_dataset_without_features_has_none(root):
    assert feature_rows.read_known(root) is None
    assert feature_rows.read_new(root) is None


def test_no_new_items(root):
    add_features(root, ITEMS)
    ids, new = feature_rows.read_new(root)
    assert ids == [] and len(new) == 0 and new.width == 300


def test_tensorflow_reads_the_rows_and_their_ids(root):
    add_features(root, ITEMS, (IDS, NEW), shards=2)
    expected = rows_of(NEW).matrix()
    for shard in range(2):
        path = f"{root}/new_item_features-0000{shard}-of-00002"
        for position, record in enumerate(tf.data.TFRecordDataset(path)):
            example = tf.train.Example.FromString(record.numpy())
            feature, row = example.features.feature, expected[shard + 2 * position]
            assert example.SerializeToString(deterministic=True) == record.numpy()
            assert feature["key"].int64_list.value[:] == [shard + 2 * position]
            assert feature["id"].bytes_list.value[:] == [IDS[shard + 2 * position]]
            assert feature["indices"].int64_list.value[:] == row.indices.tolist()
            assert feature["values"].float_list.value[:] == row.data.tolist()


def test_rows_of_several_blocks_are_the_same_bytes(tmp_path):
    rows = SparseRows.from_matrix(rows_of(NEW).matrix())
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts.gz")
    feature_rows.write_shard(whole, [rows], [IDS], batch=10)
    described = feature_rows.write_shard(parts, [rows.between(0, 2), rows.between(2, 5)], [IDS[:2], IDS[2:]])
    with open(whole, "rb") as file, gzip.open(parts) as packed:
        assert file.read() == packed.read()
    assert (described.records, described.interactions) == (5, NEW.nnz)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 5}, "outside the width 5"),
        ({"new": 9}, "not one row for each of 9"),
        ({"new": 4}, "more new items than"),
    ],
)
def test_files_that_do_not_fit_the_manifest_are_refused(root, change, said):
    add_features(root, ITEMS, (IDS, NEW))
    manifest = DatasetManifest.read(Dataset(root).manifest)
    manifest.item_features = manifest.item_features.model_copy(update=change)
    manifest.write(Dataset(root).manifest)
    with pytest.raises(UserError, match=said):
        feature_rows.read_new(root)


def test_missing_files_and_rows_without_ids_are_refused(root):
    add_features(root, ITEMS, (IDS, NEW))
    manifest = DatasetManifest.read(Dataset(root).manifest)
    with pytest.raises(UserError, match="without an id"):
        list(tfrecords.read_ids(f"{root}/item_features-00000-of-00001"))
    del manifest.files["item_features-00000-of-00001"]
    manifest.write(Dataset(root).manifest)
    with pytest.raises(UserError, match=r"has no item_features-\* files"):
        feature_rows.read_known(root)
