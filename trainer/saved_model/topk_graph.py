"""What the SavedModel computes, as functions of tensors: best by score, projections, rows of ragged tables.

The answers are those of batch prediction: a score is the float64 dot product of two float32 rows, summed in order of
their elements and rounded to float32; equal scores stand in the order of the table, which is that of the ids' bytes.
A product in float32 only chooses candidates (`ranking.topk` says why), and where it cannot tell, all
are scored that may belong among the best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.saved_model.id_lookup import NONE

_SPARE = 6  # candidates beyond k + k / 8


def rows_of(splits: tf.Tensor, places: tf.Tensor) -> tf.RaggedTensor:
    """Entries of some rows of a table in compact form: int64 [b, (entries)], positions among all entries.

    Args:
        splits: int64 [n + 1]. places: int64 [b], the rows; -1 for one that has none.
    """
    starts = tf.gather(splits, tf.maximum(places, 0))
    limits = tf.where(places >= 0, tf.gather(splits, tf.maximum(places, 0) + 1), starts)
    return tf.ragged.range(starts, limits)


def take(entries: tf.RaggedTensor, values: tf.Tensor) -> tf.RaggedTensor:
    """Values [n, ...] at the positions of `rows_of`."""
    return entries.with_values(tf.gather(values, entries.values))


def rows(table: tf.Tensor, places: tf.Tensor, norms: tf.Tensor | None = None) -> tf.Tensor:
    """Rows float32 [..., d] of a table float32 [n, d]; at length 1 where its norms float64 [n] are given."""
    found = tf.gather(table, places)
    if norms is None:
        return found
    return tf.cast(tf.cast(found, tf.float64) / tf.gather(norms, places)[..., None], tf.float32)


def dot(queries: tf.Tensor, table: tf.Tensor, places: tf.Tensor, norms: tf.Tensor | None = None) -> tf.Tensor:
    """Scores float32 [b, c] of queries float32 [b, d] with the `rows` at places int64 [b, c] of a table."""
    products = tf.cast(queries, tf.float64)[:, None, :] * tf.cast(rows(table, places, norms), tf.float64)
    # A running sum adds in the order of the elements, where a sum adds as the processor's vectors like it.
    return tf.cast(tf.cumsum(products, axis=2)[:, :, -1], tf.float32)


def longest(table: tf.Tensor) -> tf.Tensor:
    """The greatest norm of a row, float64."""
    return tf.sqrt(tf.reduce_max(tf.reduce_sum(tf.cast(table, tf.float64) ** 2, 1)))


def best(
    queries: tf.Tensor,
    table: tf.Tensor,
    left_out: tf.RaggedTensor,
    k: tf.Tensor,
    instead: tuple[tf.Tensor, tf.Tensor] | None = None,
    norms: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The k rows of a table with the greatest scores, ties by the lower place.

    Args:
        queries: float32 [b, d]. table: float32 [n, d].
        left_out: int64 [b, (places)], what a query must not get.
        k: int32, at least 1; more than n counts as n.
        instead: of which queries (bool [b]) the scores do not count, and what counts in their place (float32 [n]).
        norms: float64 [n] of the table's rows, which then count as if their length were 1.

    Returns:
        places int64 [b, min(k, n)] and scores float32, best first; -1 and -inf where fewer are left.
    """
    size = tf.shape(table)[0]
    k = tf.minimum(k, size)
    rough = tf.matmul(queries, table, transpose_b=True)
    if norms is not None:
        rough *= tf.cast(1 / norms, tf.float32)
    replaced, replacement = instead or (tf.zeros(tf.shape(queries)[:1], tf.bool), tf.zeros([size]))
    rough = tf.where(replaced[:, None], replacement[None, :], rough)
    cells = tf.stack([left_out.value_rowids(), left_out.values], 1)
    rough = tf.tensor_scatter_nd_update(rough, cells, tf.fill(tf.shape(cells)[:1], -tf.constant(float("inf"))))
    first = tf.math.top_k(rough, tf.minimum(size, k + _SPARE + k // 8))
    candidates = tf.sort(tf.cast(first.indices, tf.int64), axis=1)  # top_k then gives ties to the lower place

    def settled(some: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        known = tf.gather(tf.gather(rough, some), chosen, batch_dims=1)
        exact = tf.where(tf.gather(replaced, some)[:, None], known, dot(tf.gather(queries, some), table, chosen, norms))
        found = tf.math.top_k(tf.where(known > -float("inf"), exact, -float("inf")), k)
        at = tf.gather(chosen, found.indices, batch_dims=1)
        return tf.where(found.values > -float("inf"), at, -1), found.values

    places, scores = settled(tf.range(tf.shape(queries)[0]), candidates)
    # What was not chosen has at most the worst candidate's score, give or take the error.
    greatest = longest(table) if norms is None else tf.constant(1.0, tf.float64)
    error, least, worst = _error(queries, greatest), first.values[:, -1], scores[:, -1]
    unsure = (tf.shape(candidates)[1] < size) & ~replaced & (least > -float("inf"))
    unsure &= tf.cast(worst, tf.float64) <= tf.cast(least, tf.float64) + error

    def look_again(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        near = tf.cast(rough[row], tf.float64) + error[row] >= tf.cast(worst[row], tf.float64)
        chosen = tf.where(near & (rough[row] > -float("inf")))[:, 0]
        again = settled(row[None], chosen[None, :])
        return again[0][0], again[1][0]

    doubtful = tf.where(unsure)[:, 0]

    def all_again() -> tuple[tf.Tensor, tf.Tensor]:
        kinds = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.float32))
        again = tf.map_fn(look_again, tf.cast(doubtful, tf.int32), fn_output_signature=kinds)
        at = doubtful[:, None]
        return tf.tensor_scatter_nd_update(places, at, again[0]), tf.tensor_scatter_nd_update(scores, at, again[1])

    return tf.cond(tf.size(doubtful) > 0, all_again, lambda: (places, scores))


def _error(queries: tf.Tensor, greatest: tf.Tensor) -> tf.Tensor:
    """How far a score in float32 may lie from the one in float64: float64 [b]; `greatest` is the norm of a row.

    d products summed in whatever order err by at most about d 2^-24 |u| |v| (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.5); the rounding adds one part, bringing a row to length 1 three, numbers next to 0 the
    last term.
    """
    norms = tf.sqrt(tf.reduce_sum(tf.cast(queries, tf.float64) ** 2, 1))
    dimensions = tf.cast(tf.shape(queries)[1], tf.float64)
    return 1.01 * (dimensions + 5) * (2.0**-24 * norms * greatest + 2.0**-126)


def each_row(
    function: Callable[..., Any], entries: tf.RaggedTensor, rows: tf.Tensor, width: int, dtype: tf.DType
) -> tf.Tensor:
    """function(row, its entries) of some rows one by one: [rows, width].

    One by one, because a batch padded to its longest row would need memory without bound, and because a row's
    answer must not depend, even in its last bit, on the rows that it came with.
    """
    splits = entries.row_splits

    def one(row: tf.Tensor) -> tf.Tensor:
        return function(row, entries.values[splits[row] : splits[row + 1]])

    return tf.map_fn(one, rows, fn_output_signature=tf.TensorSpec([width], dtype))


def best_of_each(places: tf.RaggedTensor, values: tf.RaggedTensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The k greatest values of each row, ties by the lower place: places [b, k'] and float32 values; -1 and -inf."""
    # One column more, so that there is one where no row has entries.
    width = tf.cast(tf.reduce_max(tf.concat([places.row_lengths(), [0]], 0)), tf.int32) + 1
    shape = tf.stack([tf.cast(places.nrows(), tf.int32), width])
    dense = tf.cast(values, tf.float32).to_tensor(-float("inf"), shape=[None, None])
    dense = tf.pad(dense, [[0, 0], [0, width - tf.shape(dense)[1]]], constant_values=-float("inf"))
    at = places.to_tensor(NONE)
    at = tf.pad(at, [[0, 0], [0, width - tf.shape(at)[1]]], constant_values=NONE)
    found = tf.math.top_k(tf.reshape(dense, shape), tf.minimum(k, width))
    return tf.gather(tf.reshape(at, shape), found.indices, batch_dims=1), found.values


def solve(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """x of left x = right, left float64 [d, d] positive definite and right float64 [d]."""
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(left), right[:, None])[:, 0]
