"""Items that nobody has viewed, within the SavedModel's graph: next to the known ones in each list of items."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ranking import similarity
from ranking.attributes.new_items import NewItems
from trainer.saved_model import topk_graph
from trainer.saved_model.id_lookup import NONE, Ids

_NONE = np.int64(NONE)

_Best = tuple[tf.Tensor, tf.Tensor]  # indices int64 [b, k] and scores float32 [b, k]


class NewRows(tf.Module):
    """n new items, whose indices follow those of m known ones."""

    def __init__(self, new: NewItems, ids: str, known: int):
        super().__init__(name="new_items")
        self.ids, self.known = Ids(ids, "new_item_ids"), known
        self.factors = tf.Variable(new.factors, trainable=False, name="factors")
        self.norms = tf.Variable(similarity.norms(new.factors), trainable=False, name="norms")

    def rows(self, names: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return whether each id is of a new item, bool [b], and its factors float32 [b, d]."""
        indices = self.ids.indices(names)
        return indices >= 0, tf.gather(self.factors, tf.maximum(indices, 0))

    def among(
        self, known: _Best, queries: tf.Tensor, most_new: tf.Tensor, k: tf.Tensor, seen: tf.Tensor | None = None
    ) -> _Best:
        """Return the best k of known and new items by their products with queries float32 [b, d].

        most_new: int64 [b], the most new items in each list. seen: ids [b, (n)] of which the new ones are left out.
        """
        left_out = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int64), tf.zeros_like(most_new))
        if seen is not None:
            indices = self.ids.indices(seen)
            left_out = tf.ragged.boolean_mask(indices, indices >= 0)
        most = tf.cast(tf.maximum(tf.reduce_max(tf.concat([most_new, [1]], 0)), 1), tf.int32)
        indices, scores = topk_graph.best(queries, self.factors.value(), left_out, most)
        may_be = tf.range(tf.shape(scores, tf.int64)[1])[None, :] < most_new[:, None]
        return self._merged(known, (indices, tf.where(may_be, scores, -float("inf"))), k)

    def similar(self, asked: tf.Tensor, items: tf.Variable, norms: tf.Variable | None, k: tf.Tensor) -> _Best:
        """Return the best k of known and new items for each of them, itself left out: int64 [b], -1 for none.

        norms: float64 [m] of the known items if cosines are compared, else None.
        """
        is_new, own = asked >= self.known, None if norms is None else self.norms
        in_known, in_new = tf.where(is_new, _NONE, asked), tf.where(is_new, asked - self.known, _NONE)
        queries = tf.where(
            is_new[:, None],
            topk_graph.rows(self.factors, tf.maximum(in_new, 0), own),
            topk_graph.rows(items, tf.maximum(in_known, 0), norms),
        )
        best = []
        for table, lengths, itself in ((items, norms, in_known), (self.factors, own, in_new)):
            left_out = tf.ragged.boolean_mask(itself[:, None], itself[:, None] >= 0)
            search = queries, table.value(), left_out, k
            best.append(
                topk_graph.best(*search) if lengths is None else topk_graph.best_by_cosine(*search, lengths.value())
            )
        return self._merged(best[0], best[1], k)

    def _merged(self, known: _Best, new: _Best, k: tf.Tensor) -> _Best:
        """Return the best k of both; of equal scores, known items come first, then the lower index."""
        indices = tf.concat([known[0], tf.where(new[0] >= 0, new[0] + self.known, _NONE)], 1)
        scores = tf.concat([known[1], new[1]], 1)
        top = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        merged = tf.gather(indices, top.indices, batch_dims=1)
        return tf.where(top.values > -float("inf"), merged, _NONE), top.values


class AllIds:
    """The ids of known and of new items."""

    def __init__(self, known: Ids, new: NewRows):
        self._known, self._new = known, new

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the indices of ids; -1 for an id that is neither known nor new."""
        known, new = self._known.indices(ids), self._new.ids.indices(ids)
        return tf.where((known < 0) & (new >= 0), new + self._new.known, known)

    def ids(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the ids of indices; an empty id for -1."""
        is_new = indices >= self._new.known
        known = self._known.ids(tf.where(is_new, _NONE, indices))
        return tf.where(is_new, self._new.ids.ids(tf.where(is_new, indices - self._new.known, _NONE)), known)
