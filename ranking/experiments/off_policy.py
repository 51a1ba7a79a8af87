"""Off-policy estimates: the mean reward that another policy would have had, from what one policy showed at random.

Of each round: w, the probability that the other policy shows the item over the probability with which it was shown (the
propensity); r, the reward; q, a predicted reward of the item that was shown; and v, the predicted reward of what the
other policy shows, in the mean over its items.

    IPS     mean of w r                       Horvitz and Thompson 1952
    SNIPS   sum of w r / sum of w             Swaminathan and Joachims 2015
    DR      mean of v + w (r - q)             Dudik, Langford, Li 2011

The estimates are of sums over rounds, so that sums over visitors or buckets of them are enough. They are those of Open
Bandit Pipeline (Saito et al. 2021) on its logs: `python -m benchmarks.pipeline.off_policy`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sums(NamedTuple):
    """Sums over rounds, arrays of one shape: of 1, w, w r, and v + w (r - q)."""

    rounds: np.ndarray
    weights: np.ndarray
    rewards: np.ndarray
    robust: np.ndarray


class Estimates(NamedTuple):
    """Estimates of the mean reward, and the mean weight, which is near 1 if the other policy's items could be shown."""

    ips: np.ndarray
    snips: np.ndarray
    dr: np.ndarray
    support: np.ndarray


def estimate(sums: Sums) -> Estimates:
    """Return the estimates of sums; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return Estimates(
            ips=sums.rewards / sums.rounds,
            snips=sums.rewards / sums.weights,
            dr=sums.robust / sums.rounds,
            support=sums.weights / sums.rounds,
        )
