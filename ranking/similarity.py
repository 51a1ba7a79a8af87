"""Which way factors point: by what batch prediction and the SavedModel compare items, and visitors."""

from __future__ import annotations

import numpy as np


def norms(table: np.ndarray) -> np.ndarray:
    """Lengths float64 [n] of the rows of a float32 table [n, d]; 1 for a row of zeros, which points nowhere."""
    lengths = np.linalg.norm(table.astype(np.float64), axis=1)
    return np.where(lengths > 0, lengths, 1.0)


def directions(table: np.ndarray) -> np.ndarray:
    """The rows of a float32 table [n, d] at length 1, float32: the cosine of two rows is the dot product of theirs."""
    return (table / norms(table)[:, None]).astype(np.float32)
