"""Rows as tf.train.Example in TFRecord files: TensorFlow reads what is written, byte for byte as it would write it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from artifacts import tfrecords
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError

entries = st.lists(
    st.tuples(st.integers(0, 2**62), st.floats(width=32, allow_nan=False)), max_size=40, unique_by=lambda e: e[0]
)
tables = st.lists(st.tuples(st.integers(0, 2**62), entries), max_size=12)


def rows_of(table) -> SparseRows:
    counts = [len(row) for _, row in table]
    flat = [entry for _, row in table for entry in row]
    return SparseRows(
        np.array([key for key, _ in table], np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.array([index for index, _ in flat], np.int64),
        np.array([value for _, value in flat], np.float32),
    )


@given(tables)
def test_bytes_are_those_of_deterministic_serialisation(table):
    data, begins = tfrecords.encode(rows_of(table))
    for (key, row), begin, end in zip(table, begins[:-1], begins[1:], strict=True):
        example = tf.train.Example()
        features = example.features.feature
        features["key"].int64_list.value.append(key)
        features["indices"].int64_list.value.extend(index for index, _ in row)
        features["values"].float_list.value.extend(value for _, value in row)
        features["indices"].int64_list.SetInParent()
        features["values"].float_list.SetInParent()
        assert data[begin:end] == example.SerializeToString(deterministic=True)


@given(tables.filter(lambda table: any(row for _, row in table)))
def test_weights_are_a_feature_of_their_own(table):
    rows = rows_of(table)
    rows = replace(rows, weights=np.arange(rows.entries, dtype=np.float32))
    data, begins = tfrecords.encode(rows)
    for number, (begin, end) in enumerate(itertools.pairwise(begins.tolist())):
        example = tf.train.Example.FromString(data[begin:end])
        assert example.SerializeToString(deterministic=True) == data[begin:end]
        weights = example.features.feature["weights"].float_list.value
        assert list(weights) == list(range(rows.indptr[number], rows.indptr[number + 1]))


def test_weights_round_trip_in_pieces_and_without_entries(tmp_path):
    rows = rows_of([(0, [(1, 1.0), (2, 2.0), (7, 3.0)]), (1, []), (5, [(0, 4.0)])])
    rows = replace(rows, weights=np.array([0.5, 0, 2, 8], np.float32))
    path = tmp_path / "rows"
    path.write_bytes(tfrecords.frame(*_encoded(rows.cut(2))))
    (read,) = tfrecords.read_row_batches(str(path))
    assert read.keys.tolist() == [0, 1, 5] and read.weights.tolist() == [0.5, 0, 2, 8]
    example = tf.train.Example()
    for name, values in (("values", [1.0, 2.0]), ("weights", [1.0])):
        example.features.feature[name].float_list.value.extend(values)
    example.features.feature["indices"].int64_list.value.extend([0, 1])
    example.features.feature["key"].int64_list.value.append(0)
    record = example.SerializeToString()
    path.write_bytes(tfrecords.frame(record, [0, len(record)]))
    with pytest.raises(UserError, match="more or fewer weights than indices"):
        list(tfrecords.read_row_batches(str(path)))


@given(tables.filter(lambda table: any(row for _, row in table)))
def test_what_may_be_recommended_again_is_a_feature_of_its_own(table):
    rows = rows_of(table)
    rows = replace(rows, again=np.arange(rows.entries) % 3 == 1)
    data, begins = tfrecords.encode(rows)
    for number, (begin, end) in enumerate(itertools.pairwise(begins.tolist())):
        example = tf.train.Example.FromString(data[begin:end])
        assert example.SerializeToString(deterministic=True) == data[begin:end]
        part = range(rows.indptr[number], rows.indptr[number + 1])
        assert list(example.features.feature["again"].int64_list.value) == [entry % 3 == 1 for entry in part]


def test_marks_round_trip_in_pieces_and_without_entries(tmp_path):
    rows = rows_of([(0, [(1, 1.0), (2, 2.0), (7, 3.0)]), (1, []), (5, [(0, 4.0)])])
    rows = replace(rows, again=np.array([True, False, True, False]), weights=np.arange(4, dtype=np.float32))
    path = tmp_path / "rows"
    path.write_bytes(tfrecords.frame(*_encoded(rows.cut(2))))
    (read,) = tfrecords.read_row_batches(str(path))
    assert read.again.tolist() == [True, False, True, False] and read.weights.tolist() == [0, 1, 2, 3]
    example = tf.train.Example()
    for name, numbers in (("key", [0]), ("indices", [0, 1]), ("again", [1])):
        example.features.feature[name].int64_list.value.extend(numbers)
    example.features.feature["values"].float_list.value.extend([1.0, 2.0])
    record = example.SerializeToString()
    path.write_bytes(tfrecords.frame(record, [0, len(record)]))
    with pytest.raises(UserError, match="more or fewer of `again` than indices"):
        list(tfrecords.read_row_batches(str(path)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_round_trip_and_tensorflow_reads_them(tmp_path, suffix):
    import gzip

    rng = np.random.default_rng(0)
    table = [(3 * row, sorted((int(i), 1.5) for i in rng.choice(10**6, row % 7, False))) for row in range(50)]
    rows = rows_of(table)
    data = tfrecords.frame(*_encoded(rows))
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    found = [(key, list(zip(i.tolist(), v.tolist(), strict=True))) for key, i, v in tfrecords.read_rows(str(path))]
    assert found == table
    records = tf.data.TFRecordDataset(str(path), "GZIP" if suffix else None)
    keys = [tf.train.Example.FromString(r.numpy()).features.feature["key"].int64_list.value[0] for r in records]
    assert keys == rows.keys.tolist()


def _encoded(rows):
    data, begins = tfrecords.encode(rows)
    return data, begins.tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_of_any_size_give_the_worked_example(tmp_path, size):
    """Spec section 3: the row is the key, never the position in the batch."""
    table = [(0, [(2, 1.5)]), (1, [(0, 3.5), (1, 2.5)]), (2, [(0, 2.5), (1, 1.5), (2, 4.5)]), (3, [(2, 3.5)])]
    path = tmp_path / "rows"
    path.write_bytes(tfrecords.frame(*_encoded(rows_of(table))))
    found = []
    for rows in tfrecords.read_row_batches(str(path), size):
        row_of_entry = np.repeat(rows.keys, np.diff(rows.indptr))
        found.append((np.stack([row_of_entry, rows.indices], 1).tolist(), rows.values.tolist()))
    if size == 2:
        assert found == [
            ([[0, 2], [1, 0], [1, 1]], [1.5, 3.5, 2.5]),
            ([[2, 0], [2, 1], [2, 2], [3, 2]], [2.5, 1.5, 4.5, 3.5]),
        ]
    assert [value for _, values in found for value in values] == [1.5, 3.5, 2.5, 2.5, 1.5, 4.5, 3.5]


@given(tables, st.integers(1, 6), st.integers(1, 5))
def test_long_rows_are_written_in_pieces_and_read_whole(tmp_path_factory, table, most, batch_size):
    rows = rows_of([(row, entries) for row, (_, entries) in enumerate(table)])
    cut = rows.cut(most)
    assert np.diff(cut.indptr).max(initial=0) <= most
    assert len(cut) == sum(max(1, -(-len(entries) // most)) for _, entries in table)
    path = tmp_path_factory.mktemp("pieces") / "rows"
    path.write_bytes(tfrecords.frame(*_encoded(cut)))
    found = list(tfrecords.read_row_batches(str(path), batch_size))
    assert np.concatenate([[], *(part.keys for part in found)]).tolist() == list(range(len(table)))
    whole = [(key, list(zip(i.tolist(), v.tolist(), strict=True))) for key, i, v in tfrecords.read_rows(str(path))]
    assert whole == [(row, entries) for row, (_, entries) in enumerate(table)]


def test_a_row_without_entries(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(tfrecords.frame(*_encoded(rows_of([(5, [])]))))
    (found,) = tfrecords.read_rows(str(path))
    assert (found[0], len(found[1]), len(found[2])) == (5, 0, 0)


def damage(data: bytes, what: str) -> bytes:
    if what == "truncated":
        return data[:-3]
    if what == "truncated in a head":
        return data[:-60]
    place = {"length": 1, "body": len(data) - 10}[what]
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("truncated", "record 2: the file ends within a record"),
        ("truncated in a head", "the file ends within a record"),
        ("length", "record 1: the length's checksum does not match"),
        ("body", "record 2: the checksum does not match"),
    ],
)
def test_damage_is_named(tmp_path, what, said):
    path = tmp_path / "rows"
    path.write_bytes(damage(tfrecords.frame(*_encoded(rows_of([(1, [(2, 1.0)]), (2, [(3, 1.0)])]))), what))
    with pytest.raises(UserError, match=said):
        list(tfrecords.read_rows(str(path)))


def test_other_records_are_refused(tmp_path):
    path = str(tmp_path / "rows")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(UserError, match="contains no rows of a dataset"):
        list(tfrecords.read_rows(path))
    with pytest.raises(UserError, match="does not exist"):
        list(tfrecords.read_rows(path + "x"))
