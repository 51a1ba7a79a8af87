"""Factors from the attributes of a request. The features of attributes are TensorFlow's, imported when first asked."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from artifacts.names import ITEM, USER, Side
from artifacts.paths import join
from artifacts.served import tables
from artifacts.sparse_rows import SparseRows
from configs import cli
from ranking.attributes.prior import Prior, fold_in
from serving.models.engine.content import Content
from serving.models.signatures import Arrays


class Asked(NamedTuple):
    """The attributes of a request as factors, of b items or visitors."""

    factors: np.ndarray  # float32 [b, d]; zeros without features
    described: np.ndarray  # bool [b], whether some features are known
    features: np.ndarray  # int64 [b], the number of those that tell of the row
    others: list[np.ndarray]  # the inputs that are not attributes
    segments: np.ndarray | None = None  # int64 [b], of visitors of a model that answers by them; -1 for none


class FromAttributes:
    """The regressions of a version, and the graphs of its features."""

    def __init__(self, content: Content):
        self._content, self._graphs = content, dict[str, Any]()
        self._lock = threading.Lock()

    def of_new_items(self, inputs: Arrays) -> Asked:
        """Return the factors of items by their attributes; the other input is k."""
        return self._asked(ITEM, inputs, "k")

    def of_items(self, inputs: Arrays) -> Arrays:
        """Return the factors of items by their attributes and views, as the signature factors_from_attributes does."""
        asked = self._asked(ITEM, inputs, "visitorIds", "ratings")
        names, ratings = asked.others
        content, about = self._content, self._content.about["items_from_attributes"]
        users = content.visitor_ids.indices(names)
        given = users >= 0
        indptr = np.append(0, np.cumsum(given.sum(1)))
        columns = users[given].astype(np.int32), ratings[given].astype(np.float32)
        views = SparseRows(np.arange(len(users)), indptr, *columns)
        factors, some = asked.factors.copy(), np.flatnonzero(views.lengths)
        if len(some):
            own = about["weight"] * views.lengths[some].astype(np.float64) ** -about["exponent"]
            factors[some] = fold_in(factors[some], content.viewers, views.take(some), own)
        counts = {"features": asked.features.astype(np.int32), "views": views.lengths.astype(np.int32)}
        return {"factors": factors, **counts}

    def of_visitors(self, inputs: Arrays) -> Asked:
        """Return the factors, or the segments, of visitors by their attributes; others: contentIds, ratings and k."""
        others = "contentIds", "ratings", "k"
        if self._content.segments is None:
            return self._asked(USER, inputs, *others)
        rows, rest = self._rows(USER, inputs, *others)
        segments = self._content.segments.of(rows.indptr, rows.indices)
        nothing = np.zeros((len(segments), 0), np.float32)
        return Asked(nothing, segments >= 0, np.diff(rows.indptr), rest, segments)

    def _asked(self, side: Side, inputs: Arrays, *others: str) -> Asked:
        is_items = side is ITEM
        rows, rest = self._rows(side, inputs, *others)
        table = self._content.tables.array("item_regression" if is_items else "user_regression")
        matrix = scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), len(table) - 1))
        scale = self._content.about["items_from_attributes"]["scale"] if is_items else 1.0
        tells = self._content.tables.array("item_telling") if is_items else np.ones(len(table) - 1, bool)
        counts = np.diff(np.append(0, np.cumsum(tells[rows.indices]))[rows.indptr])
        factors = np.where(counts[:, None] > 0, Prior(table).scaled(matrix, scale), np.float32(0))
        return Asked(factors, counts > 0, counts, rest)

    def _rows(self, side: Side, inputs: Arrays, *others: str) -> tuple[SparseRows, list[np.ndarray]]:
        """Return the features of a request, and its other inputs."""
        tensorflow, function = self._graph(side)
        names = function.structured_input_signature[1]
        made = function(**{name: tensorflow.constant(inputs[name]) for name in names})
        indices, values, splits = (made[part].numpy() for part in ("indices", "values", "row_splits"))
        # The name of an input that an attribute has begins with _.
        rest = [inputs[f"_{name}" if name in names else name] for name in others]
        return SparseRows(np.arange(len(splits) - 1), splits, indices, values), rest

    def _graph(self, side: Side) -> tuple[Any, Any]:
        with self._lock:
            if side.features not in self._graphs:
                cli.import_tensorflow()
                import tensorflow

                path = join(self._content.tables.root, tables.FEATURES[side is USER])
                self._graphs[side.features] = tensorflow, tensorflow.saved_model.load(path)
            tensorflow, loaded = self._graphs[side.features]
            return tensorflow, loaded.signatures[side.features]
