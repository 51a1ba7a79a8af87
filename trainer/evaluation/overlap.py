"""The share of two models' lists that is the same."""

from __future__ import annotations

import numba
import numpy as np

from ranking.heap import STRICT
from trainer.evaluation.metrics import Users


class Overlap:
    """Sums by buckets of users.

    Attributes:
        shares: float64 [buckets, ks]. counts: float64 [buckets], users.
    """

    def __init__(self, buckets: int, ks: np.ndarray):
        self._ks = ks
        self.shares, self.counts = np.zeros((buckets, len(ks))), np.zeros(buckets)

    def add(self, lists: np.ndarray, others: np.ndarray, users: Users) -> None:
        """Add two lists int [b, k] of each user."""
        shares = np.empty((len(lists), len(self._ks)))
        _in_both(lists, others, self._ks, shares)
        np.add.at(self.shares, users.buckets, shares)
        np.add.at(self.counts, users.buckets, 1)


@numba.njit(**STRICT)
def _in_both(lists, others, ks, shares):
    """Fill shares float64 [b, ks] with the share of the first K of two lists that is the same."""
    for row in range(len(lists)):
        for column in range(len(ks)):
            k, same = ks[column], 0
            for item in lists[row, :k]:
                for other in others[row, :k]:
                    same += item >= 0 and item == other
            shares[row, column] = same / k
