"""A caller's sparse matrix -> checked SparseRows. A mistake is named before training starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from artifacts.sparse_rows import SparseRows

_LIMIT = np.iinfo(np.int32).max


def to_rows(matrix: Any, name: str, entry_weights: Any = None, columns: int | None = None) -> tuple[SparseRows, int]:
    """Convert a scipy.sparse matrix, a tf.SparseTensor, or SparseTensors that each contain some of the rows.

    Stored entries count as observed, also with the value 0.

    Args:
        entry_weights: E, of the same kind, shape and entries as `matrix`, or None.
        columns: the columns that it must have, or None.

    Returns:
        Rows keyed 0 .. n - 1 in order, and the number of columns.

    Raises:
        ValueError: a wrong shape, an index that is out of range or duplicate, a value that is not finite, or a negative
            weight.
    """
    csr = _to_csr(matrix, name)
    if columns is not None and csr.shape[1] != columns:
        raise ValueError(f"{name} has {csr.shape[1]} columns, not {columns}")
    if max(csr.shape) > _LIMIT:
        raise ValueError(f"{name} has shape {list(csr.shape)}; at most {_LIMIT} rows or columns")
    _check_values(csr, name)
    weights = None
    if entry_weights is not None:
        weights = _to_csr(entry_weights, "entry_weights")
        same = weights.shape == csr.shape and np.array_equal(weights.indptr, csr.indptr)
        if not same or not np.array_equal(weights.indices, csr.indices):
            raise ValueError(f"entry_weights must have the same entries as {name}")
        _check_values(weights, "entry_weights", weights=True)
    return SparseRows.from_matrix(csr, weights), csr.shape[1]


def _to_csr(matrix: Any, name: str) -> sp.csr_matrix:
    """Return a CSR matrix with sorted indices and no duplicates; float32 values, int64 indptr."""
    if isinstance(matrix, tf.SparseTensor):
        return _from_tensor(matrix, name)
    if sp.issparse(matrix):
        csr = sp.csr_matrix(matrix, dtype=np.float32)
        csr.check_format()
        if not csr.has_sorted_indices:
            csr = csr.sorted_indices()
        _check_duplicates(csr, name)
        return csr
    if isinstance(matrix, Iterable) and not isinstance(matrix, np.ndarray | str | bytes | tf.Tensor):
        return _from_batches(list(matrix), name)
    raise ValueError(
        f"{name} is a {type(matrix).__name__}; pass a scipy.sparse matrix, a tf.SparseTensor, or batches of them"
    )


def _from_tensor(tensor: tf.SparseTensor, name: str) -> sp.csr_matrix:
    shape = tuple(int(size) for size in tensor.dense_shape)
    if len(shape) != 2:
        raise ValueError(f"{name} has {len(shape)} dimensions, not 2")
    places = tensor.indices.numpy()
    wrong = np.flatnonzero(((places < 0) | (places >= np.array(shape))).any(axis=1))
    if len(wrong):
        raise ValueError(f"{name} has an entry at {places[wrong[0]].tolist()}, outside its shape {list(shape)}")
    order = np.lexsort((places[:, 1], places[:, 0]))
    indptr = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(places[:, 0], minlength=shape[0]), out=indptr[1:])
    values = tensor.values.numpy().astype(np.float32)[order]
    csr = sp.csr_matrix((values, places[order, 1], indptr), shape)
    _check_duplicates(csr, name)
    return csr


def _from_batches(batches: list[tf.SparseTensor], name: str) -> sp.csr_matrix:
    """Join batches of one shape that each contain some of the rows, each row once."""
    if not batches or not all(isinstance(batch, tf.SparseTensor) for batch in batches):
        raise ValueError(f"{name} must be one or more tf.SparseTensors")
    shapes = {tuple(int(size) for size in batch.dense_shape) for batch in batches}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise ValueError(
            f"{name} has batches of shape {list(first)} and {list(second)}; all must have the shape of the whole matrix"
        )
    places = tf.concat([batch.indices for batch in batches], 0)
    values = tf.concat([tf.cast(batch.values, tf.float32) for batch in batches], 0)
    return _from_tensor(tf.SparseTensor(places, values, batches[0].dense_shape), name)


def _check_duplicates(csr: sp.csr_matrix, name: str) -> None:
    falls = np.diff(csr.indices) <= 0
    ends = csr.indptr[1:-1] - 1
    falls[ends[(ends >= 0) & (ends < len(falls))]] = False
    if falls.any():
        entry = int(np.argmax(falls)) + 1
        raise ValueError(f"{name} has entry {_place(csr, entry)} twice")


def _check_values(csr: sp.csr_matrix, name: str, weights: bool = False) -> None:
    wrong = ~np.isfinite(csr.data)
    if weights:
        wrong |= csr.data < 0
    if wrong.any():
        entry = int(np.argmax(wrong))
        rule = "a weight must be finite and not negative" if weights else "a value must be finite"
        raise ValueError(f"{name} has {csr.data[entry]} at {_place(csr, entry)}; {rule}")


def _place(csr: sp.csr_matrix, entry: int) -> list[int]:
    return [int(np.searchsorted(csr.indptr, entry, side="right")) - 1, int(csr.indices[entry])]


def to_table(init: Any, size: int, k: int, name: str) -> np.ndarray:
    """Return the start values as a new float32 [size, k] array.

    Raises:
        ValueError: the array has another shape, or a value that is not finite.
    """
    table = np.array(init, np.float32, order="C")
    if table.shape != (size, k):
        raise ValueError(f"{name} has shape {list(table.shape)}, not [{size}, {k}]")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        raise ValueError(f"{name} has {table[tuple(wrong[0])]} at {wrong[0].tolist()}; a factor must be finite")
    return table
