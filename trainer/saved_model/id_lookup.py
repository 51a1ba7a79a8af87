"""A vocabulary within a graph."""

from __future__ import annotations

import tensorflow as tf

NONE = -1  # the place of an id that is not there


class Ids(tf.Module):
    """A vocabulary as an asset: ids -> places and back, byte for byte."""

    def __init__(self, path: str, name: str):
        super().__init__(name=name)
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        asset = tf.saved_model.Asset(path)
        to_place = tf.lookup.TextFileInitializer(asset.asset_path, tf.string, whole, tf.int64, line)
        to_id = tf.lookup.TextFileInitializer(asset.asset_path, tf.int64, line, tf.string, whole)
        self._asset = asset
        self._places = tf.lookup.StaticHashTable(to_place, NONE)
        self._ids = tf.lookup.StaticHashTable(to_id, "")

    def places(self, ids: tf.Tensor) -> tf.Tensor:
        return self._places.lookup(ids)

    def ids(self, places: tf.Tensor) -> tf.Tensor:
        """The ids; empty for -1."""
        return self._ids.lookup(places)
