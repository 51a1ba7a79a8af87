"""The kernels' arguments as NamedTuples: Numba compiles access by field. This module does not import Numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Entries(NamedTuple):
    """The arrays of a `SparseRows`.

    Attributes:
        keys: int64 [r]. indptr: int64 [r + 1]. indices: int32 [nnz]. values: float32 [nnz].
        weights: float32 [nnz], E, or empty where all are 1.
    """

    keys: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    weights: np.ndarray


class RowSystems(NamedTuple):
    """The numbers from which the systems of all rows of a side are formed, in the basis.

    Attributes:
        row_weights: float32 [n], R by key.
        ridges: float32 [n], lambda_i by key.
        column_weights: float32 [m], C.
        table: float32 [m, k], the fixed side's factors.
        safe_diagonal: float32 [k], `diagonal` kept away from 0.
        diagonal: float32 [k], w0 times the eigenvalues of the Gramian.
        unobserved_weight: float32, w0.
    """

    row_weights: np.ndarray
    ridges: np.ndarray
    column_weights: np.ndarray
    table: np.ndarray
    safe_diagonal: np.ndarray
    diagonal: np.ndarray
    unobserved_weight: np.float32
