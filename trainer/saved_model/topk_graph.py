"""Top K and ragged rows as functions of tensors, for the SavedModel's graph.

The answers are those of batch prediction: a score is the float64 dot product of two float32 rows, summed in the order
of their elements and rounded to float32; equal scores go to the lower index. A product in float32 only chooses
candidates (`ranking.topk` explains why); if it cannot decide, all rows that may belong to the best are scored.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from trainer.saved_model.id_lookup import NONE

_SPARE = 6  # candidates beyond k + k / 8


def rows_of(splits: tf.Tensor, indices: tf.Tensor) -> tf.RaggedTensor:
    """Return the entries of rows in compact form: int64 [b, (entries)], positions among all entries.

    splits: int64 [n + 1]. indices: int64 [b], the rows; -1 for an empty row.
    """
    starts = tf.gather(splits, tf.maximum(indices, 0))
    limits = tf.where(indices >= 0, tf.gather(splits, tf.maximum(indices, 0) + 1), starts)
    return tf.ragged.range(starts, limits)


def take(entries: tf.RaggedTensor, values: tf.Tensor) -> tf.RaggedTensor:
    """Return the values [n, ...] at the positions of `rows_of`."""
    return entries.with_values(tf.gather(values, entries.values))


def rows(table: tf.Tensor, indices: tf.Tensor, norms: tf.Tensor | None = None) -> tf.Tensor:
    """Return rows float32 [..., d] of a table float32 [n, d]; at length 1 if its norms float64 [n] are given."""
    gathered = tf.gather(table, indices)
    if norms is None:
        return gathered
    return tf.cast(tf.cast(gathered, tf.float64) / tf.gather(norms, indices)[..., None], tf.float32)


def dot(queries: tf.Tensor, table: tf.Tensor, indices: tf.Tensor, norms: tf.Tensor | None = None) -> tf.Tensor:
    """Return the products float64 [b, c] of queries float32 [b, d] and the `rows` at int64 [b, c] of a table."""
    products = tf.cast(queries, tf.float64)[:, None, :] * tf.cast(rows(table, indices, norms), tf.float64)
    # A running sum adds in the order of the elements; a plain sum's order depends on the processor.
    return tf.cumsum(products, axis=2)[:, :, -1]


class _Search(NamedTuple):
    """One search: queries float32 [b, d] over a table float32 [n, d]."""

    queries: tf.Tensor
    table: tf.Tensor
    norms: tf.Tensor | None  # float64 [n], if rows count at length 1
    rough: tf.Tensor  # float32 [b, n], scores by BLAS, -inf for what is left out
    replaced: tf.Tensor  # bool [b], whether `rough` is exact, because other scores replace the products
    addends: tf.Tensor | None  # float64 [b, n], what is added to the products; None for nothing


# The signatures share these graphs, whose shapes are unknown: tracing them is most of the time of an export.
_TABLE, _LEFT_OUT = tf.TensorSpec([None, None], tf.float32), tf.RaggedTensorSpec([None, None], tf.int64)
_SPECS = (_TABLE, _TABLE, _LEFT_OUT, tf.TensorSpec([], tf.int32))
_INSTEAD = (tf.TensorSpec([None], tf.bool), tf.TensorSpec([None], tf.float32))


@tf.function(input_signature=_SPECS, autograph=False)
def best(queries: tf.Tensor, table: tf.Tensor, left_out: tf.RaggedTensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `_best` does, by the products of queries and rows."""
    return _best(queries, table, left_out, k)


@tf.function(input_signature=(*_SPECS, _INSTEAD), autograph=False)
def best_instead(
    queries: tf.Tensor, table: tf.Tensor, left_out: tf.RaggedTensor, k: tf.Tensor, instead: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `_best` does, if other scores replace those of some queries."""
    return _best(queries, table, left_out, k, instead)


@tf.function(input_signature=(*_SPECS, _INSTEAD, tf.TensorSpec([None, None], tf.float64)), autograph=False)
def best_with_addends(
    queries: tf.Tensor,
    table: tf.Tensor,
    left_out: tf.RaggedTensor,
    k: tf.Tensor,
    instead: tuple[tf.Tensor, tf.Tensor],
    addends: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `_best` does, if the neighbourhood adds to the products."""
    return _best(queries, table, left_out, k, instead, addends=addends)


@tf.function(input_signature=(*_SPECS, tf.TensorSpec([None], tf.float64)), autograph=False)
def best_by_cosine(
    queries: tf.Tensor, table: tf.Tensor, left_out: tf.RaggedTensor, k: tf.Tensor, norms: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `_best` does, with rows at length 1."""
    return _best(queries, table, left_out, k, norms=norms)


def _best(
    queries: tf.Tensor,
    table: tf.Tensor,
    left_out: tf.RaggedTensor,
    k: tf.Tensor,
    instead: tuple[tf.Tensor, tf.Tensor] | None = None,
    *,
    norms: tf.Tensor | None = None,
    addends: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the k rows of a table with the greatest scores; of equal scores, the lower index comes first.

    Args:
        queries: float32 [b, d]. table: float32 [n, d].
        left_out: int64 [b, (rows)], what a query is not given.
        k: int32, at least 1; more than n counts as n.
        instead: bool [b], the queries whose scores are replaced, and float32 [n], the scores that replace them.
        norms: float64 [n] of the table's rows, which then count as if their length were 1.
        addends: float64 [b, n], at least 0, added to the products before these are rounded.

    Returns:
        indices int64 [b, min(k, n)] and scores float32, best first; -1 and -inf after a row's last entry.
    """
    search, k = _search(queries, table, left_out, instead, norms, addends), tf.minimum(k, tf.shape(table)[0])
    size = tf.shape(table)[0]
    first = tf.math.top_k(search.rough, tf.minimum(size, k + _SPARE + k // 8))
    candidates = tf.sort(tf.cast(first.indices, tf.int64), axis=1)  # so that top_k gives ties to the lower index
    settled = _settle(search, tf.range(tf.shape(queries)[0]), candidates, k)
    # A row that is not a candidate has at most the worst candidate's score, give or take the error.
    greatest = _longest(table) if norms is None else tf.constant(1.0, tf.float64)
    error, least, worst = _error(queries, greatest, addends), first.values[:, -1], settled[1][:, -1]
    unsure = (tf.shape(candidates)[1] < size) & ~search.replaced & (least > -float("inf"))
    unsure &= tf.cast(worst, tf.float64) <= tf.cast(least, tf.float64) + error

    def again() -> tuple[tf.Tensor, tf.Tensor]:
        rows, kinds = tf.where(unsure), (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.float32))
        exact = tf.map_fn(
            lambda row: _look_again(search, row, worst[row], error[row], k),
            tf.cast(rows[:, 0], tf.int32),
            fn_output_signature=kinds,
        )
        indices, scores = (
            tf.tensor_scatter_nd_update(*pair) for pair in zip(settled, (rows, rows), exact, strict=True)
        )
        return indices, scores

    return tf.cond(tf.reduce_any(unsure), again, lambda: settled)


def _search(
    queries: tf.Tensor,
    table: tf.Tensor,
    left_out: tf.RaggedTensor,
    instead: tuple[tf.Tensor, tf.Tensor] | None,
    norms: tf.Tensor | None,
    addends: tf.Tensor | None,
) -> _Search:
    rough = tf.matmul(queries, table, transpose_b=True)
    if norms is not None:
        rough *= tf.cast(1 / norms, tf.float32)
    if addends is not None:
        rough += tf.cast(addends, tf.float32)
    replaced = tf.zeros(tf.shape(queries)[:1], tf.bool)
    if instead is not None:
        replaced, replacement = instead
        rough = tf.where(replaced[:, None], replacement[None, :], rough)
    cells = tf.stack([left_out.value_rowids(), left_out.values], 1)
    rough = tf.tensor_scatter_nd_update(rough, cells, tf.fill(tf.shape(cells)[:1], -tf.constant(float("inf"))))
    return _Search(queries, table, norms, rough, replaced, addends)


def _settle(search: _Search, rows: tf.Tensor, candidates: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best k of each row's candidates, int64 [rows, c] ascending, by their exact scores."""
    rough = tf.gather(tf.gather(search.rough, rows), candidates, batch_dims=1)
    products = dot(tf.gather(search.queries, rows), search.table, candidates, search.norms)
    if search.addends is not None:
        products += tf.gather(tf.gather(search.addends, rows), candidates, batch_dims=1)
    exact = tf.where(tf.gather(search.replaced, rows)[:, None], rough, tf.cast(products, tf.float32))
    top = tf.math.top_k(tf.where(rough > -float("inf"), exact, -float("inf")), k)
    indices = tf.gather(candidates, top.indices, batch_dims=1)
    return tf.where(top.values > -float("inf"), indices, NONE), top.values


def _look_again(
    search: _Search, row: tf.Tensor, worst: tf.Tensor, error: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best k of one row, from all that may be better than the worst of its candidates."""
    rough = search.rough[row]
    near = tf.cast(rough, tf.float64) + error >= tf.cast(worst, tf.float64)
    candidates = tf.where(near & (rough > -float("inf")))[:, 0]
    indices, scores = _settle(search, row[None], candidates[None, :], k)
    return indices[0], scores[0]


def _longest(table: tf.Tensor) -> tf.Tensor:
    """Return the greatest norm of a row, float64."""
    return tf.sqrt(tf.reduce_max(tf.reduce_sum(tf.cast(table, tf.float64) ** 2, 1)))


def _error(queries: tf.Tensor, greatest: tf.Tensor, addends: tf.Tensor | None) -> tf.Tensor:
    """Return a bound on the distance of a score in float32 from the exact one: float64 [b]; `greatest`: a row's norm.

    d products summed in any order err by at most about d 2^-24 |u| |v| (Higham, Accuracy and Stability of Numerical
    Algorithms, 3.5); the rounding adds one part, bringing a row to length 1 three, and numbers next to 0 the last term.
    An addend is rounded, its sum with the product is, and the exact score is (`ranking.topk`).
    """
    norms = tf.sqrt(tf.reduce_sum(tf.cast(queries, tf.float64) ** 2, 1))
    dimensions = tf.cast(tf.shape(queries)[1], tf.float64)
    error = 1.01 * (dimensions + 5) * (2.0**-24 * norms * greatest + 2.0**-126)
    return error if addends is None else error + 1.01 * 4 * 2.0**-24 * tf.reduce_max(addends, 1)


def best_of_each(indices: tf.RaggedTensor, values: tf.RaggedTensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the k greatest values of each row: indices [b, k'] and float32 values; -1 and -inf after the last.

    indices: int64 [b, (n)], ascending in a row, so that of equal values the lower index comes first.
    """
    # One column more, so that there is one if no row has entries.
    width = tf.reduce_max(tf.concat([indices.row_lengths(), [0]], 0)) + 1
    shape = tf.stack([indices.nrows(), width])
    dense = tf.cast(values, tf.float32).to_tensor(-float("inf"), shape=shape)
    top = tf.math.top_k(dense, tf.minimum(k, tf.cast(width, tf.int32)))
    return tf.gather(indices.to_tensor(NONE, shape=shape), top.indices, batch_dims=1), top.values
