"""A caller's sparse matrix -> checked SparseRows. A mistake is named before training starts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows

if TYPE_CHECKING:
    import tensorflow as tf

_LIMIT = np.iinfo(np.int32).max


def to_rows(matrix: Any, name: str, entry_weights: Any = None, columns: int | None = None) -> tuple[SparseRows, int]:
    """Convert a dense array, a scipy.sparse matrix, a tf.SparseTensor, or SparseTensors with some of the rows each.

    Return rows keyed 0 .. n - 1 in order, and the number of columns, which must be `columns` unless that is None.
    Stored entries of a sparse matrix count as observed, also with the value 0; in a dense array, and in the blocks of
    scipy's BSR, a 0 is not observed. entry_weights: E, of the same kind, shape and entries as
    `matrix`, or None.

    Raise ValueError if a shape is wrong, an index out of range or duplicate, a value not finite, or a weight negative.
    """
    rows, width = _checked(matrix, name)
    if columns not in (None, width):
        raise ValueError(f"{name} has {width} columns, not {columns}")
    if entry_weights is None:
        return rows, width
    weights, weights_width = _checked(entry_weights, "entry_weights", weights=True)
    same = all(np.array_equal(*pair) for pair in ((weights.indptr, rows.indptr), (weights.indices, rows.indices)))
    if not same or weights_width != width:
        raise ValueError(f"entry_weights must have the same entries as {name}")
    return replace(rows, weights=weights.values), width


def _checked(matrix: Any, name: str, weights: bool = False) -> tuple[SparseRows, int]:
    """Return a matrix's rows and its number of columns, after all checks of its entries."""
    csr = _to_csr(matrix, name)
    if max(csr.shape) > _LIMIT:
        raise ValueError(f"{name} has shape {list(csr.shape)}; at most {_LIMIT} rows or columns")
    rows = SparseRows.from_matrix(csr)
    if (entry := rows.unordered_entry()) is not None:
        raise ValueError(f"{name} has entry {[rows.key_of(entry), int(rows.indices[entry])]} twice")
    wrong = ~np.isfinite(rows.values) | (weights & (rows.values < 0))
    if wrong.any():
        entry = int(np.argmax(wrong))
        rule = "a weight must be finite and not negative" if weights else "a value must be finite"
        place = [rows.key_of(entry), int(rows.indices[entry])]
        raise ValueError(f"{name} has {rows.values[entry]} at {place}; {rule}")
    return rows, csr.shape[1]


def _to_csr(matrix: Any, name: str) -> sp.csr_matrix:
    """Return a CSR matrix with sorted indices; duplicates stay."""
    if _is_tensor(matrix):
        return _from_tensor(matrix, name)
    if sp.issparse(matrix) or isinstance(matrix, np.ndarray):
        return _from_scipy(matrix, name)
    batches = list(matrix) if isinstance(matrix, Iterable) and not isinstance(matrix, str | bytes) else []
    if batches and all(map(_is_tensor, batches)):
        return _from_batches(batches, name)
    inside = f" of {type(batches[0]).__name__}" if batches else ""
    raise ValueError(
        f"{name} is a {type(matrix).__name__}{inside}; pass a dense array, a scipy.sparse matrix, a tf.SparseTensor, "
        "or a list of those (fit also takes a frame of user, item and value, and a dataset directory)"
    )


def _is_tensor(matrix: Any) -> bool:
    """Return whether this is a tf.SparseTensor; who passes one has imported TensorFlow, which takes seconds."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(matrix, tensorflow.SparseTensor)


def _from_scipy(matrix: Any, name: str) -> sp.csr_matrix:
    if matrix.ndim != 2:
        raise ValueError(f"{name} has {matrix.ndim} dimensions, not 2")
    if not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == bool) or np.iscomplexobj(matrix):
        raise ValueError(f"{name} has values of type {matrix.dtype}; pass numbers")
    csr = sp.csr_matrix(matrix, dtype=np.float32)
    if sp.issparse(matrix) and matrix.format == "bsr":
        csr.eliminate_zeros()
    csr.check_format()
    return csr if csr.has_sorted_indices else csr.sorted_indices()


def _from_tensor(tensor: tf.SparseTensor, name: str) -> sp.csr_matrix:
    shape = tuple(int(size) for size in tensor.dense_shape)
    if len(shape) != 2:
        raise ValueError(f"{name} has {len(shape)} dimensions, not 2")
    places = tensor.indices.numpy()
    wrong = np.flatnonzero(((places < 0) | (places >= np.array(shape))).any(axis=1))
    if len(wrong):
        raise ValueError(f"{name} has an entry at {places[wrong[0]].tolist()}, outside its shape {list(shape)}")
    order = np.lexsort((places[:, 1], places[:, 0]))
    indptr = np.append(0, np.cumsum(np.bincount(places[:, 0], minlength=shape[0])))
    values = tensor.values.numpy().astype(np.float32)[order]
    return sp.csr_matrix((values, places[order, 1], indptr), shape)


def _from_batches(batches: list[tf.SparseTensor], name: str) -> sp.csr_matrix:
    """Join batches of one shape that each contain some of the rows, each row once."""
    import tensorflow as tf

    shapes = {tuple(int(size) for size in batch.dense_shape) for batch in batches}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise ValueError(
            f"{name} has batches of shape {list(first)} and {list(second)}; all must have the shape of the whole matrix"
        )
    places = tf.concat([batch.indices for batch in batches], 0)
    values = tf.concat([tf.cast(batch.values, tf.float32) for batch in batches], 0)
    return _from_tensor(tf.SparseTensor(places, values, batches[0].dense_shape), name)


def to_table(init: Any, size: int, k: int, name: str) -> np.ndarray:
    """Return the start values as a new float32 [size, k] array; raise ValueError if their shape or a value is wrong."""
    table = np.array(init, np.float32, order="C")
    if table.shape != (size, k):
        raise ValueError(f"{name} has shape {list(table.shape)}, not [{size}, {k}]")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        raise ValueError(f"{name} has {table[tuple(wrong[0])]} at {wrong[0].tolist()}; a factor must be finite")
    return table
