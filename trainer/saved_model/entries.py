"""The entries of an answer within the SavedModel's graph: how many each row asks for, their ids and scores."""

from __future__ import annotations

import tensorflow as tf

from trainer.saved_model.id_lookup import NONE, AllIds, Ids


def check(condition: tf.Tensor, message: str) -> tf.Operation:
    """Return an operation that fails with a message unless the condition is true."""
    return tf.debugging.Assert(condition, [message])


def counts(k: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the greatest k, and k of each row, from k of any rank."""
    flat = tf.reshape(k, [-1])
    fits = (tf.size(flat) == 1) | (tf.size(flat) == rows)
    checks = [check(tf.reduce_all(flat >= 1), "k must be at least 1"), check(fits, "give one k, or one a row")]
    with tf.control_dependencies(checks):
        each = tf.broadcast_to(tf.identity(flat), rows[None])
    return tf.reduce_max(tf.concat([each, [1]], 0)), each


def answered(
    name: str, ids: Ids | AllIds, indices: tf.Tensor, scores: tf.Tensor, each: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return ids and scores [b, k], and the number of entries in each row; an empty id and 0 after the last entry."""
    count = tf.minimum(tf.reduce_sum(tf.cast(indices >= 0, tf.int32), 1), each)
    given = tf.sequence_mask(count, tf.shape(indices)[1])
    return {name: ids.ids(tf.where(given, indices, NONE)), "scores": tf.where(given, scores, 0.0), "count": count}
