"""The effect of a position: clicks = exposures x attraction of the rule x examination of the rank.

The position-based model (Richardson, Dominowska & Ragno 2007; Craswell et al. 2008) with clicks as Poisson counts,
whose likelihood is greatest where each rule and each rank has as many clicks as the model expects: iterative
proportional fitting. It tells rule and rank apart as far as lists do not begin with what attracts most: a decrease of
attraction down the lists counts as one of examination.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_ROUNDS = 200
_ENOUGH = 1e-10  # relative change of a round


class Effects(NamedTuple):
    """The clicks per exposure of each rule at the first rank with clicks [..., rules]; and of each rank, [..., ranks].

    Examination is relative to that first rank. NaN without exposures.
    """

    attraction: np.ndarray
    examination: np.ndarray

    def corrected(self, shares: np.ndarray) -> np.ndarray:
        """Return the CTR of each rule if all had these shares of their exposures at each rank, float64 [..., ranks]."""
        return self.attraction * np.nansum(shares * self.examination, axis=-1, keepdims=True)


def fit(exposures: np.ndarray, clicks: np.ndarray) -> Effects:
    """Return the effects of rules and ranks from sums float64 [..., rules, ranks]; leading axes are fitted apart."""
    of_rule, of_rank = clicks.sum(-1), clicks.sum(-2)
    examination = np.ones_like(of_rank)
    attraction = np.zeros_like(of_rule)
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_ROUNDS):
            before = attraction
            attraction = _ratio(of_rule, (exposures * examination[..., None, :]).sum(-1))
            examination = _ratio(of_rank, (exposures * attraction[..., :, None]).sum(-2))
            first = (examination > 0).argmax(-1)
            scale = np.take_along_axis(examination, first[..., None], -1)
            scale = np.where(scale > 0, scale, 1)
            examination, attraction = examination / scale, attraction * scale
            if np.allclose(attraction, before, rtol=_ENOUGH, atol=0):
                break
        attraction = np.where(exposures.sum(-1) > 0, attraction, np.nan)
        examination = np.where(exposures.sum(-2) > 0, examination, np.nan)
    return Effects(attraction, examination)


def _ratio(clicks: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.where(expected > 0, clicks / expected, 0)
