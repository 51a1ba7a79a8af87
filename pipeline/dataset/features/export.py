"""TFT's transform_fn of the features -> a SavedModel with one signature, which needs TensorFlow alone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from artifacts.features.fields import Field, input_names
from artifacts.names import INDICES, KEY, VALUES
from artifacts.paths import join
from configs.settings.features import OF_WORDS
from pipeline.beam.transform_files import copy

ROW_SPLITS = "row_splits"


def write(transform_fn: str, directory: str, fields: Sequence[Field], temporary: str, signature: str) -> str:
    """Write the SavedModel, and return its directory.

    Its signature, `item_features` or `user_features`, takes each attribute by its `input_names`: text string [n], empty
    if it is missing; a number, a price or an age in days float32 [n], NaN if it is missing; an embedding float32
    [n, d], 0 if it is missing. It returns the rows of n items (or visitors): `row_splits` int64 [n + 1], `indices`
    int64 and `values` float32 [nnz].
    """
    module = _module(transform_fn, fields)
    source = join(temporary, uuid.uuid4().hex)
    tf.saved_model.save(module, source, signatures={signature: module.features})
    copy(source, directory, temporary)
    return directory


def _module(transform_fn: str, fields: Sequence[Field]) -> Any:
    module, names = tf.Module(), input_names(fields)
    module.transform = tf.saved_model.load(transform_fn)  # an attribute, so that its tables and assets are saved too
    specs = [
        tf.TensorSpec([None, field.dimension] if field.dimension else [None], _dtype(field), name)
        for name, field in zip(names, fields, strict=True)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def features(*attributes: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = dict(zip(names, attributes, strict=True))
        inputs[KEY] = tf.range(tf.shape(attributes[0], tf.int64)[0])
        rows = module.transform.transform_fn(*(inputs[name] for name in sorted(inputs)))  # TFT's order
        return {ROW_SPLITS: rows[INDICES].row_splits, INDICES: rows[INDICES].values, VALUES: rows[VALUES].values}

    module.features = features
    return module


def _dtype(field: Field) -> tf.DType:
    return tf.string if field.kind in OF_WORDS else tf.float32
