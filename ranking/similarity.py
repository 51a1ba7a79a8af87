"""Directions of factors, by which items and visitors are compared."""

from __future__ import annotations

import numpy as np

_ROWS = 4096  # whose float64 numbers stay in a core's cache: those of a whole table would be written to memory and read


def norms(table: np.ndarray) -> np.ndarray:
    """Return the lengths float64 [n] of the rows of a float32 table [n, d]; 1 for a row of zeros."""
    lengths = np.empty(len(table))
    for start in range(0, len(table), _ROWS):
        part = slice(start, start + _ROWS)
        lengths[part] = np.linalg.norm(table[part].astype(np.float64), axis=1)
    return np.where(lengths > 0, lengths, 1.0)


def directions(table: np.ndarray) -> np.ndarray:
    """Return the rows of a float32 table [n, d] at length 1, float32.

    The cosine of two rows is the dot product of their directions; a row of zeros has cosine 0 with every row.
    """
    lengths, result = norms(table), np.empty(table.shape, np.float32)
    for start in range(0, len(table), _ROWS):
        part = slice(start, start + _ROWS)
        result[part] = table[part] / lengths[part, None]
    return result
