"""Fold-in within the SavedModel's graph, for rows that arrive with a request.

It solves the systems of `ranking.fold_in` in float64, one by one, so that both return the same float32 factors. A batch
padded to its longest row would need unbounded memory, and a row's answer must not depend on the other rows.
"""

from __future__ import annotations

import tensorflow as tf

from ranking.fold_in import Projection


class FoldIn(tf.Module):
    """The systems of rows over a table of items."""

    def __init__(self, items: tf.Variable, projection: Projection):
        super().__init__(name="fold_in")
        self._objective, self._floor = projection.objective, projection.floor
        weights = projection.weights.astype("float32")
        self.items = items
        self.item_weights = tf.Variable(weights, trainable=False, name="item_weights")
        shared = self._objective.unobserved_weight * projection.gramian
        self.shared = tf.Variable(shared, trainable=False, name="shared")

    def factors(
        self, history: tf.RaggedTensor, ratings: tf.RaggedTensor, row_weights: tf.Tensor, rows: tf.Tensor
    ) -> tf.Tensor:
        """Return the factors float32 [rows, d] of some rows of a history int64 [b, (items)], with R float32 [b].

        The entries' own weights E are 1.
        """
        splits = history.row_splits

        def one(row: tf.Tensor) -> tf.Tensor:
            entries = slice(splits[row], splits[row + 1])
            items = history.values[entries]
            left, factors, weights = self._system(items, tf.fill(tf.shape(items), row_weights[row]))
            given = tf.cast(ratings.values[entries], tf.float64)
            right = tf.linalg.matvec(factors, weights * given, transpose_a=True)
            return tf.cast(_solve(left, right), tf.float32)

        return tf.map_fn(one, rows, fn_output_signature=tf.TensorSpec(self.items.shape[1:], tf.float32))

    def from_prior(
        self,
        prior: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor,
        row_weights: tf.Tensor,
        rows: tf.Tensor,
    ) -> tf.Tensor:
        """Return the prior float32 [b, d] and what some rows of a history add to it; see `ranking.attributes.prior`.

        row_weights: float64 [b], R. The other arguments are those of `factors`.
        """
        owners = history.value_rowids()
        weights = tf.gather(row_weights, owners) * tf.cast(tf.gather(self.item_weights, history.values), tf.float64)
        pairs = tf.gather(self.items, history.values), tf.gather(prior, owners)
        products = tf.reduce_sum(tf.cast(pairs[0], tf.float64) * tf.cast(pairs[1], tf.float64), 1)
        share = tf.math.divide_no_nan(weights, self._objective.unobserved_weight + weights)
        rest = ratings.with_values(ratings.values - tf.cast(share * products, tf.float32))
        added = self.factors(history, rest, tf.cast(row_weights, tf.float32), rows)
        return tf.tensor_scatter_nd_add(prior, rows[:, None], added)

    def contributions(
        self, history: tf.RaggedTensor, ratings: tf.RaggedTensor, weights: tf.RaggedTensor, wanted: tf.Tensor
    ) -> tf.RaggedTensor:
        """Return the contribution of each item of a history to the score of one other item per row: float64 [b, (n)].

        v_i . u = sum_j (w0 + R C_j E_j) a_j v_i' A^-1 v_j, with A the left side of the row's system.

        Args:
            weights: R E. wanted: float32 [b, d], the factors of the other items.
        """
        splits = history.row_splits

        def one(row: tf.Tensor) -> tf.RaggedTensor:
            entries = slice(splits[row], splits[row + 1])
            left, factors, full = self._system(history.values[entries], weights.values[entries])
            item = tf.cast(wanted[row], tf.float64)
            given = tf.cast(ratings.values[entries], tf.float64)
            shares = full * given * tf.linalg.matvec(factors, _solve(left, item))
            return tf.RaggedTensor.from_tensor(shares[None, :])

        kind = tf.RaggedTensorSpec([1, None], tf.float64)
        shares = tf.map_fn(one, tf.range(history.nrows()), fn_output_signature=kind)
        return tf.RaggedTensor.from_row_splits(shares.flat_values, splits)

    def _system(self, items: tf.Tensor, own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the parts of (w0 G + lambda_i I + sum R_i C_j E_j v_j v_j') u = sum (w0 + R_i C_j E_j) a_j v_j.

        Args:
            items: int64 [n]. own: float32 [n], R_i E_j.

        Returns:
            The left side float64 [d, d], the factors v_j float64 [n, d] and the weights w0 + R_i C_j E_j float64 [n].
        """
        factors = tf.cast(tf.gather(self.items, items), tf.float64)
        weights = tf.cast(own, tf.float64) * tf.cast(tf.gather(self.item_weights, items), tf.float64)
        w0, nu = self._objective.unobserved_weight, self._objective.frequency_exponent
        frequency = tf.cast(tf.size(items), tf.float64) + w0 * self.items.shape[0]
        ridge = self._objective.regularization_coeff * tf.maximum(frequency, 1e-30) ** nu + self._floor
        left = self.shared + ridge * tf.eye(self.items.shape[1], dtype=tf.float64)
        left += tf.matmul(factors, weights[:, None] * factors, transpose_a=True)
        return left, factors, w0 + weights


def _solve(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Return x of left x = right, left float64 [d, d] positive definite and right float64 [d]."""
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(left), right[:, None])[:, 0]
