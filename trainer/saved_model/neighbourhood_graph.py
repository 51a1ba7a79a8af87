"""The item-item term within the SavedModel's graph: the sums of `ranking.neighbourhood`, exact in any order."""

from __future__ import annotations

import tensorflow as tf

from artifacts.sparse_rows import SparseRows
from ranking.neighbourhood import Neighbourhood
from trainer.saved_model import topk_graph


class Related(tf.Module):
    """The matrix B of a model with m items, B transposed, and the weights."""

    def __init__(self, neighbourhood: Neighbourhood):
        super().__init__(name="neighbourhood")
        related = neighbourhood.related
        self._gamma, self._few_items, self._items = neighbourhood.gamma, neighbourhood.few_items, len(related)
        self.related = _Matrix(related, "related")
        self.sources = _Matrix(related.transpose(self._items), "sources")

    def addends(self, history: tf.RaggedTensor) -> tf.Tensor:
        """Return what is added to the scores of all items, float64 [b, m], of histories int64 [b, (n)]."""
        entries, columns, values = self.related.rows(history.values)
        rows = tf.gather(history.value_rowids(), entries.value_rowids())
        totals = tf.math.unsorted_segment_sum(values, rows * self._items + columns, history.nrows() * self._items)
        return self._weights(history.row_lengths())[:, None] * tf.reshape(totals, [-1, self._items])

    def audience_addends(
        self, items: tf.Tensor, owner_splits: tf.Tensor, owners: tf.Tensor, counts: tf.Tensor
    ) -> tf.Tensor:
        """Return what is added to the scores of all users, float64 [b, users], with items int64 [b]; 0 for item -1.

        Args:
            owner_splits, owners: who has each item, m rows. counts: int64 [users], how many items each user has.
        """
        users = tf.size(counts, tf.int64)
        entries, sources, values = self.sources.rows(items)
        having = topk_graph.rows_of(owner_splits, sources)
        rows = tf.gather(entries.value_rowids(), having.value_rowids())
        cells = rows * users + tf.cast(tf.gather(owners, having.values), tf.int64)
        added = tf.gather(values, having.value_rowids())
        totals = tf.math.unsorted_segment_sum(added, cells, tf.size(items, tf.int64) * users)
        return self._weights(counts) * tf.reshape(totals, [-1, users])

    def contributions(self, history: tf.RaggedTensor, wanted: tf.Tensor) -> tf.RaggedTensor:
        """Return what each item of a history adds to the score of one wanted item per row: float64 [b, (n)]."""
        entries, columns, values = self.related.rows(history.values)
        owners = entries.value_rowids()
        same = columns == tf.gather(tf.gather(wanted, history.value_rowids()), owners)
        count = tf.size(history.values, tf.int64)
        added = tf.math.unsorted_segment_sum(tf.where(same, values, tf.zeros_like(values)), owners, count)
        weights = tf.gather(self._weights(history.row_lengths()), history.value_rowids())
        return history.with_values(weights * added)

    def _weights(self, counts: tf.Tensor) -> tf.Tensor:
        """Return the weights float64 [b] of visitors with int64 [b] items."""
        gamma = tf.fill(tf.shape(counts), tf.constant(self._gamma, tf.float64))
        return gamma / tf.sqrt(tf.cast(tf.maximum(counts, 1), tf.float64)) if self._few_items else gamma


class _Matrix(tf.Module):
    """Sparse rows in compact form."""

    def __init__(self, rows: SparseRows, name: str):
        super().__init__(name=name)
        self.splits = tf.Variable(rows.indptr, trainable=False, name="splits")
        self.indices = tf.Variable(rows.indices, trainable=False, name="indices")
        self.values = tf.Variable(rows.values, trainable=False, name="values")

    def rows(self, wanted: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor]:
        """Return the entries [b, (n)] of rows int64 [b], -1 for none, and their columns int64 and values float64."""
        entries = topk_graph.rows_of(self.splits, wanted)
        columns, values = (tf.gather(table, entries.values) for table in (self.indices, self.values))
        return entries, tf.cast(columns, tf.int64), tf.cast(values, tf.float64)
