"""A vocabulary within a graph."""

from __future__ import annotations

import tensorflow as tf

NONE = -1  # the index of an id that is not in the vocabulary


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
