"""Records of a file as readers return them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


class FormatError(ValueError):
    """A file has another format than its reader; the message says which, where that is known."""


@dataclass
class RawBatch:
    """Some records of a file.

    columns: the fields asked for, as the file types them. numbers: int64[rows], each record's number in its file, from
    1. malformed: number and complaint of each record that could not be read.
    """

    columns: pa.RecordBatch
    numbers: np.ndarray
    malformed: list[tuple[int, str]] = field(default_factory=list)
