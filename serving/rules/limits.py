"""Limits of the items of an answer: the rules of a request, and the lists of the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

LIMITED = ("recommend", "serving_default", "similar_items")  # the signatures that return items begin with one of them
LEFT_OUT = "leftOut"  # the output with the number of items that each rule left out


@dataclass(frozen=True)
class Rules:
    """The rules of a request, as those of batch prediction; without a value, a rule is not in effect."""

    include_seen: bool = False
    exclude: tuple[bytes, ...] = ()
    categories: tuple[str, ...] = ()  # only these
    without_categories: tuple[str, ...] = ()
    max_per_category: int | None = None
    min_score: float | None = None
    max_age_days: float | None = None
    mmr_lambda: float | None = None
    candidates: int = 100  # of MMR
    explore: bool = True  # where the settings let slots be explored
    variant: str | None = None  # of the experiment, in place of the visitor's own
    by_popularity: bool = False  # popularity answers, as for a holdout


NO_RULES = Rules()


@dataclass(frozen=True)
class Limits:
    """The rules of a request, and the ids of the lists; allow: None for all."""

    rules: Rules = NO_RULES
    allow: frozenset[bytes] | None = None
    block: frozenset[bytes] = frozenset()

    @property
    def are_of_items(self) -> bool:
        """True if some limit the items; others choose the version, or what is explored."""
        return replace(self, rules=replace(self.rules, explore=True, variant=None)) != Limits()


class Limited(NamedTuple):
    """Limits, and the category of each item, empty without one."""

    limits: Limits
    category_of: Callable[[bytes], str]
