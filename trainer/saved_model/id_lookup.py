"""Ids within a graph: a vocabulary, the ids that a request brings, and one after the other."""

from __future__ import annotations

import tensorflow as tf

NONE = -1  # the index of an id that is not there


class Ids(tf.Module):
    """A vocabulary as an asset: ids -> indices and back, byte for byte."""

    def __init__(self, path: str, name: str):
        super().__init__(name=name)
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        asset = tf.saved_model.Asset(path)
        to_index = tf.lookup.TextFileInitializer(asset.asset_path, tf.string, whole, tf.int64, line)
        to_id = tf.lookup.TextFileInitializer(asset.asset_path, tf.int64, line, tf.string, whole)
        self._asset = asset
        self._indices = tf.lookup.StaticHashTable(to_index, NONE)
        self._ids = tf.lookup.StaticHashTable(to_id, "")

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the indices of ids; -1 for an id that is not in the vocabulary."""
        return self._indices.lookup(ids)

    def ids(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the ids of indices; an empty id for -1."""
        return self._ids.lookup(indices)


class GivenIds:
    """The ids [e] of a request, in its order; each may be there once."""

    def __init__(self, names: tf.Tensor):
        once = tf.equal(tf.size(tf.unique(names).y), tf.size(names))
        with tf.control_dependencies([tf.debugging.Assert(once, ["an item is there twice; send it once"])]):
            self._names = tf.identity(names)

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the indices of ids of any shape; -1 for an id that was not given."""
        size = tf.size(self._names, tf.int64)
        # An id's number among the distinct ids is its index if it is one of the first, which are those given.
        numbers = tf.unique(tf.concat([self._names, tf.reshape(ids, [-1])], 0), tf.int64).idx[size:]
        return tf.reshape(tf.where(numbers < size, numbers, tf.constant(NONE, tf.int64)), tf.shape(ids))

    def ids(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the ids of indices; an empty id for -1."""
        padded = tf.concat([self._names, [""]], 0)
        return tf.gather(padded, tf.where(indices >= 0, indices, tf.size(self._names, tf.int64)))


class AllIds:
    """Two groups of ids: the indices of the second follow the `size` ids of the first."""

    def __init__(self, first: Ids | AllIds | GivenIds, second: Ids | AllIds | GivenIds, size: int):
        self._first, self._second, self._size = first, second, size

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the indices of ids; -1 for an id that is in neither group."""
        first, second = self._first.indices(ids), self._second.indices(ids)
        return tf.where((first < 0) & (second >= 0), second + self._size, first)

    def ids(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the ids of indices; an empty id for -1."""
        none, is_second = tf.constant(NONE, tf.int64), indices >= self._size
        first = self._first.ids(tf.where(is_second, none, indices))
        return tf.where(is_second, self._second.ids(tf.where(is_second, indices - self._size, none)), first)
