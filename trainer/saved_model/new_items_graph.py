"""Items that nobody has viewed, within the SavedModel's graph: next to the known ones in each list of items.

They are those of the model, and those that a request brings: ids and factors of items that were added later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ranking import similarity
from ranking.attributes.last_places import most
from ranking.attributes.new_items import NewItems
from ranking.cold_start import NEWEST
from trainer.saved_model import topk_graph
from trainer.saved_model.id_lookup import NONE, AllIds, GivenIds, Ids

_NONE = np.int64(NONE)

_Best = tuple[tf.Tensor, tf.Tensor]  # indices int64 [b, k] and scores float32 [b, k]


class NewItemsOfModel(tf.Module):
    """The new items of a model with m known items."""

    def __init__(self, new: NewItems, ids: str):
        super().__init__(name="new_items")
        self.ids = Ids(ids, "new_item_ids") if len(new) else None
        self.newest = tf.constant(np.array(new.newest, object), tf.string)
        self.factors = tf.Variable(new.factors, trainable=False, name="factors")
        self.norms = tf.Variable(similarity.norms(new.factors), trainable=False, name="norms")

    def rows(self, known: int) -> NewRows:
        """Return the rows, which follow `known` items."""
        ids = self.ids or GivenIds(tf.zeros([0], tf.string))
        return NewRows(ids, self.factors.value(), self.norms.value(), known, self.newest)


class NewRows(NamedTuple):
    """n new items, whose indices follow those of m known ones."""

    ids: Ids | AllIds | GivenIds
    factors: tf.Tensor  # float32 [n, d]
    norms: tf.Tensor  # float64 [n], lengths of the factors
    known: int  # m
    newest: tf.Tensor  # string [q], ids of others without attributes, which have no index; the newest first

    @classmethod
    def given(cls, names: tf.Tensor, factors: tf.Tensor, all_known: Ids | AllIds, known: int) -> NewRows:
        """Return the items of a request, without those that the model has: ids [e] and factors float32 [e, d].

        Items of zeros are the newest of which nothing is known.
        """
        is_other = (all_known.indices(names) < 0) & (tf.strings.length(names) > 0)
        has_factors = tf.reduce_any(factors != 0, 1)
        newest, is_other = tf.boolean_mask(names, is_other & ~has_factors), is_other & has_factors
        names, factors = tf.boolean_mask(names, is_other), tf.boolean_mask(factors, is_other)
        lengths = tf.sqrt(tf.reduce_sum(tf.cast(factors, tf.float64) ** 2, 1))
        return cls(GivenIds(names), factors, tf.where(lengths > 0, lengths, tf.ones_like(lengths)), known, newest)

    def followed_by(self, others: NewRows, count: int) -> NewRows:
        """Return these `count` items and others after them."""
        ids = AllIds(self.ids, others.ids, count)
        factors, norms = (tf.concat(pair, 0) for pair in ((self.factors, others.factors), (self.norms, others.norms)))
        return NewRows(ids, factors, norms, self.known, tf.concat([others.newest, self.newest], 0))

    def rows(self, names: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return whether each id is of a new item, bool [b], and its factors float32 [b, d]."""
        indices = self.ids.indices(names)
        padded = tf.pad(self.factors, [[0, 1], [0, 0]])  # so that there is always a row
        return indices >= 0, tf.gather(padded, tf.maximum(indices, 0))

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
        indices, scores = self._best(queries, left_out, most)
        may_be = tf.range(tf.shape(scores, tf.int64)[1])[None, :] < most_new[:, None]
        return self._merged(known, (indices, tf.where(may_be, scores, -float("inf"))), k)

    def similar(self, asked: tf.Tensor, items: tf.Variable, norms: tf.Variable | None, k: tf.Tensor) -> _Best:
        """Return the best k of known and new items for each of them, itself left out: int64 [b], -1 for none.

        norms: float64 [m] of the known items if cosines are compared, else None.
        """
        is_new = asked >= self.known
        in_known, in_new = tf.where(is_new, _NONE, asked), tf.where(is_new, asked - self.known, _NONE)
        padded = tf.pad(self.factors, [[0, 1], [0, 0]])
        own = None if norms is None else tf.pad(self.norms, [[0, 1]], constant_values=1)
        queries = tf.where(
            is_new[:, None],
            topk_graph.rows(padded, tf.maximum(in_new, 0), own),
            topk_graph.rows(items, tf.maximum(in_known, 0), norms),
        )
        search = queries, items.value(), _itself(in_known), k
        best = topk_graph.best(*search) if norms is None else topk_graph.best_by_cosine(*search, norms.value())
        return self._merged(best, self._best(queries, _itself(in_new), k, norms is not None), k)

    def _best(self, queries: tf.Tensor, left_out: tf.RaggedTensor, k: tf.Tensor, by_cosine: bool = False) -> _Best:
        """Return the best k of the new items; lists without entries where the model has none."""

        def search() -> _Best:
            if by_cosine:
                return topk_graph.best_by_cosine(queries, self.factors, left_out, k, self.norms)
            return topk_graph.best(queries, self.factors, left_out, k)

        def nothing() -> _Best:
            shape = tf.stack([tf.shape(queries)[0], 0])
            return tf.zeros(shape, tf.int64), tf.zeros(shape, tf.float32)

        if self.factors.shape[0]:
            return search()
        return tf.cond(tf.shape(self.factors)[0] > 0, search, nothing)

    def _merged(self, known: _Best, new: _Best, k: tf.Tensor) -> _Best:
        """Return the best k of both; of equal scores, known items come first, then the lower index."""
        indices = tf.concat([known[0], tf.where(new[0] >= 0, new[0] + self.known, _NONE)], 1)
        scores = tf.concat([known[1], new[1]], 1)
        top = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        merged = tf.gather(indices, top.indices, batch_dims=1)
        return tf.where(top.values > -float("inf"), merged, _NONE), top.values


def in_last_places(
    answer: dict[str, tf.Tensor], newest: tf.Tensor, each: tf.Tensor, share: float, seen: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Return answers whose lists end with the newest items, and whose rule states so; see `ranking.attributes.newest`.

    each: int32 [b], the length of each list, 0 for one that has none. seen: ids [b, n] that a list may not have.
    """
    names, scores, count, rule = (answer[name] for name in ("contentIds", "scores", "count", "rule"))
    places = tf.cast(most(share, tf.cast(each, tf.int64)), tf.int32)
    candidates = newest[: tf.reduce_max(tf.concat([places, [0]], 0))]
    size, rows = tf.size(candidates), tf.shape(names)[0]
    may_be = tf.range(size)[None, :] < places[:, None]
    if seen is not None:
        may_be &= ~tf.reduce_any(candidates[None, :, None] == seen[:, None, :], 2)
    number = tf.reduce_sum(tf.cast(may_be, tf.int32), 1)
    kept = tf.minimum(count, each - number)
    number = tf.where(kept > 0, number, 0)
    kept = tf.where(number > 0, kept, count)
    given = tf.ragged.boolean_mask(tf.tile(candidates[None, :], [rows, 1]), may_be).to_tensor("")
    given = tf.pad(given, [[0, 0], [0, size + 1 - tf.shape(given)[1]]])  # so that there is always a column
    names, scores = (tf.pad(table, [[0, 0], [0, size]]) for table in (names, scores))
    place = tf.range(tf.shape(names)[1])[None, :] - kept[:, None]
    is_given = (place >= 0) & (place < number[:, None])
    items = tf.gather(given, tf.clip_by_value(place, 0, size), batch_dims=1)
    last = tf.gather(scores, tf.maximum(kept - 1, 0)[:, None], batch_dims=1)
    names, scores = tf.where(is_given, items, names), tf.where(is_given, last, scores)
    width = tf.maximum(tf.shape(answer["contentIds"])[1], tf.reduce_max(tf.concat([kept + number, [0]], 0)))
    rule = tf.where(number > 0, tf.strings.join([rule, f", {NEWEST}"]), rule)
    return {"contentIds": names[:, :width], "scores": scores[:, :width], "count": kept + number, "rule": rule}


def _itself(asked: tf.Tensor) -> tf.RaggedTensor:
    """Return rows with each index int64 [b] alone; an empty row for -1."""
    return tf.ragged.boolean_mask(asked[:, None], asked[:, None] >= 0)
