"""A trained model -> SavedModel.

Signatures:
    recommend: userId int64 [b], k int32 -> itemIds int64 [b, k], scores float32 [b, k], best first;
    project: indices int64 [b, n], padded with -1, and values float32 [b, n] -> factors float32 [b, dimension], the
        row solve of `wals` with R = 1 and the items' column weights.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer import wals


class Recommender(tf.Module):
    """Both tables and the graph functions over them."""

    def __init__(self, users: np.ndarray, items: wals.Side, objective: wals.Objective):
        """users float32 [n, k]; items: the items' side, in the same coordinates."""
        super().__init__(name="wals")
        gram = wals.gramian(items.table)
        self.user_factors = tf.Variable(users, trainable=False)
        self.item_factors = tf.Variable(items.table, trainable=False)
        self.item_weights = tf.Variable(items.weights, trainable=False)
        self.shared = tf.Variable((objective.unobserved_weight * gram).astype(np.float32), trainable=False)
        # So small beside the rest that it only matters where the system is singular.
        self.floor = tf.constant(max(1e-6 * float(np.trace(gram)) / len(gram), 1e-12), tf.float32)
        self._objective = objective

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64, "userId"), tf.TensorSpec([], tf.int32, "k")], autograph=False
    )
    def recommend(self, user_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k items of the greatest u . v."""
        scores = tf.matmul(tf.gather(self.user_factors, user_ids), self.item_factors, transpose_b=True)
        best = tf.math.top_k(scores, k)
        return {"itemIds": tf.cast(best.indices, tf.int64), "scores": best.values}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int64, "indices"),
            tf.TensorSpec([None, None], tf.float32, "values"),
        ],
        autograph=False,
    )
    def project(self, indices: tf.Tensor, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Folds rows in: (w0 G + lambda_i I + sum C_j v_j v_j') u = sum (w0 + C_j) a v_j."""
        given = tf.cast(indices >= 0, tf.float32)  # [b, n]
        places = tf.maximum(indices, 0)
        factors = tf.gather(self.item_factors, places)  # [b, n, k]
        weights = tf.gather(self.item_weights, places) * given
        w0, nu = self._objective.unobserved_weight, self._objective.frequency_exponent
        frequency = tf.reduce_sum(given, 1) + w0 * tf.cast(tf.shape(self.item_factors)[0], tf.float32)
        ridge = self._objective.regularization_coeff * tf.maximum(frequency, 1e-30) ** nu + self.floor  # [b]
        identity = tf.eye(tf.shape(self.shared)[0])
        left = self.shared + ridge[:, None, None] * identity
        left += tf.einsum("bnk,bn,bnl->bkl", factors, weights, factors)
        right = tf.einsum("bnk,bn->bk", factors, (w0 * given + weights) * values)
        return {"factors": tf.linalg.cholesky_solve(tf.linalg.cholesky(left), right[:, :, None])[:, :, 0]}


def save(path: str, users: np.ndarray, items: wals.Side, objective: wals.Objective) -> None:
    """Writes the SavedModel."""
    module = Recommender(users, items, objective)
    tf.saved_model.save(
        module,
        path,
        signatures={
            "serving_default": module.recommend,
            "recommend": module.recommend,
            "project": module.project,
        },
    )
