"""Checks of the constructor's arguments and of `fit`; each mistake is named."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from artifacts.paths import Dataset
from trainer.als import weights


def check_sizes(num_rows: int | None, num_cols: int | None, embedding_dimension: int | None, max_sweeps: int) -> None:
    """Raise ValueError unless each size that is given is a whole number of at least 1."""
    sizes = {"num_rows": num_rows, "num_cols": num_cols, "embedding_dimension": embedding_dimension}
    for name, size in (sizes | {"max_sweeps": max_sweeps}).items():
        if size is not None and (int(size) != size or size < 1):
            raise ValueError(f"{name} is {size}; it must be a whole number of at least 1")


def check_numbers(**numbers: float) -> None:
    """Raise ValueError unless each number is finite and not negative."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name} is {number}; it must be finite and not negative")


def side_weights(given: Any, number: int, size: int, dataset: Dataset | None) -> np.ndarray:
    """Return R (number 0) or C (1), float32 [size]: of None, a scalar, a vector, or a file by a dataset's ids."""
    name = ("row_weights", "col_weights")[number]
    if isinstance(given, str | os.PathLike):
        if dataset is None:
            raise ValueError(f"{name} by file needs the ids of a dataset directory; pass a vector")
        vocabulary = dataset.vocab_items if number else dataset.vocab_users
        return weights.from_file(os.fspath(given), name, vocabulary, size, 1.0).values
    return weights.vector(given, size, name)
