"""The habits of imaginary visitors, which are the truth that an outcome estimates, and their draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

_TASTES = 4.0  # shape of the gamma distribution of tastes, whose mean is 1


@dataclass(frozen=True)
class Habits:
    """Habits of a day: come or not, look at their list, click, buy.

    An item at rank r is clicked with the probability attraction[rule] x examination[r - 1] x the visitor's taste.
    """

    attraction: dict[str, float] = field(
        default_factory=lambda: {"factors": 0.16, "projection": 0.12, "attributes": 0.1, "popularity": 0.06}
    )
    examination: tuple[float, ...] = (1.0, 0.7, 0.5, 0.4, 0.33, 0.28, 0.25, 0.22, 0.2, 0.18)
    comes: float = 0.5  # share of the visitors who come on a day
    carts: float = 0.3  # share of the clicks after which the item is added to the cart
    buys: float = 0.15  # share of the clicks after which the item is bought, within the hour
    buys_late: float = 0.05  # two days later, which is not due to the click
    others: float = 0.6  # share of visits in which the visitor finds an item without the list
    listed: float = 0.2  # share of these items that are in the list all the same
    new: float = 0.3  # share of the others that came on that day

    def attracts(self, rule: str) -> float:
        """Return the attraction of the lists of a rule; what has their last places does not change it."""
        name = rule.partition(", ")[0]
        return self.attraction[name if name in self.attraction else "popularity"]

    def ctr(self, rule: str, rank: int) -> float:
        """Return the clicks per exposure at a rank."""
        return self.attracts(rule) * self.examination[rank - 1]

    def corrected(self, rule: str, shares: Sequence[float]) -> float:
        """Return the CTR of a rule with these shares of its exposures at each rank."""
        return self.attracts(rule) * float(np.dot(shares, self.examination[: len(shares)]))


class Draws(NamedTuple):
    """Deeds of n visitors on d days, with lists of k items."""

    comes: np.ndarray  # bool [n, d]
    clicks: np.ndarray  # bool [n, d, k]
    carts: np.ndarray  # bool [n, d, k], of clicks
    buys: np.ndarray  # bool [n, d, k], of clicks
    buys_late: np.ndarray  # bool [n, d, k], of clicks
    finds: np.ndarray  # float [n, d]: a number in 0 .. 1 that chooses the item found without the list; NaN for none
    listed: np.ndarray  # bool [n, d]: that item is in the list
    second: np.ndarray  # int [n, d]: of the visit in its day
    new: np.ndarray  # bool [n, d]: that item is one of the day's new ones


def draw(habits: Habits, rules: Sequence[str], length: int, days: int, rng: np.random.Generator) -> Draws:
    """Draw what visitors with lists of these rules do."""
    shape = len(rules), days, length
    attraction = np.array([habits.attracts(rule) for rule in rules])
    tastes = rng.gamma(_TASTES, 1 / _TASTES, len(rules))
    chance = (attraction * tastes)[:, None] * np.array(habits.examination[:length])
    comes = rng.random(shape[:2]) < habits.comes
    clicks = comes[:, :, None] & (rng.random(shape) < chance[:, None, :])
    carts, buys, late = (
        clicks & (rng.random(shape) < share) for share in (habits.carts, habits.buys, habits.buys_late)
    )
    finds = np.where(comes & (rng.random(shape[:2]) < habits.others), rng.random(shape[:2]), np.nan)
    listed = rng.random(shape[:2]) < habits.listed
    second = rng.integers(0, 70_000, shape[:2])
    return Draws(comes, clicks, carts, buys, late & ~buys, finds, listed, second, rng.random(shape[:2]) < habits.new)
