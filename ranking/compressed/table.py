"""A table of factors in a quarter of its bytes: int8 numbers, a scale per row, and a bound on what is lost.

Row v is s q + r, with q int8, s = max |v| / 127, and r the rest, whose length is kept. So a product with a query u is
known within |u| |r|, without reading v.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ranking.heap import STRICT

_LARGEST = 127  # -128 is not used, so that signs are alike
_STEP = 32  # numbers of a row are padded to a multiple of this: whole vector registers
_MORE = 1 + 2.0**-20  # covers the rounding of a length that is computed in float64 and kept in float32


class Compressed(NamedTuple):
    """The compressed form of a table float32 [n, d]."""

    rows: np.ndarray  # int8 [n, d'], q; d' is d, rounded up to whole registers, with zeros at the end
    scales: np.ndarray  # float32 [n], s
    errors: np.ndarray  # float32 [n], at least |r|

    @classmethod
    def of(cls, table: np.ndarray) -> Compressed:
        """Compress a table of finite numbers."""
        size, width = len(table), -(-table.shape[1] // _STEP) * _STEP
        compressed = cls(np.zeros((size, width), np.int8), np.zeros(size, np.float32), np.zeros(size, np.float32))
        _compress(table, compressed)
        return compressed

    def directions(self, norms: np.ndarray) -> Compressed:
        """Return the compressed form of the table's directions, by the lengths float64 [n] of its rows.

        A row of length 1 is rounded to float32, and so is its scale: each adds little more than 2^-24 to the rest.
        """
        errors = (self.errors.astype(np.float64) / norms + 2.0**-22) * _MORE
        return Compressed(self.rows, (self.scales / norms).astype(np.float32), errors.astype(np.float32))


@numba.njit(**STRICT)
def _compress(table, compressed):
    """Fill the parts; what a scale too small for float32 cannot express stays in the rest."""
    for row in range(len(table)):
        greatest = 0.0
        for c in range(table.shape[1]):
            greatest = max(greatest, abs(np.float64(table[row, c])))
        scale, rest = np.float64(np.float32(greatest / _LARGEST)), 0.0
        for c in range(table.shape[1]):
            value, number = np.float64(table[row, c]), 0.0
            if scale > 0:
                number = min(max(np.rint(value / scale), -_LARGEST), _LARGEST)
            compressed.rows[row, c] = np.int8(number)
            rest += (value - scale * number) ** 2  # exact products: 24 + 7 bits
        compressed.scales[row] = scale
        compressed.errors[row] = np.float32(np.sqrt(rest) * _MORE) + np.float32(2.0**-126)
