"""The list that rules make of the items that may be in it: a cap on categories, a least score, and MMR."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ranking.attributes import one_list
from ranking.diversity import Cap, Mmr, Search, capped_top_k, mmr, within_cap
from ranking.heap import Best


class ListRules(NamedTuple):
    """The rules of lists over m known items and the new ones after them; without a value, a rule is not in effect."""

    cap: Cap | None = None
    min_score: float | None = None
    mmr: Mmr | None = None

    def width(self, k: int) -> int:
        """Return how many entries to search for, so that k can be chosen."""
        return max(k, self.mmr.candidates) if self.mmr else k

    def best(self, search: Search, rows: int, items: int, width: int) -> Best:
        """Return the best entries of a search over the items of the cap."""
        if self.cap is None:
            return search(np.arange(rows), width)
        return capped_top_k(search, rows, items, width, self.cap)

    def merged(self, known: Best, new: Best, width: int) -> Best:
        """Return the best entries of two lists, see `one_list.merged`, under the cap."""
        if self.cap is None:
            return one_list.merged(known, new, width)
        return within_cap(one_list.merged(known, new, width + new.indices.shape[1]), self.cap, width)

    def at_least(self, best: Best) -> Best:
        """Return lists, whose best entries come first, without the entries below the least score."""
        if self.min_score is None:
            return best
        low = best.scores < np.float32(self.min_score)
        return Best(np.where(low, -1, best.indices), np.where(low, np.float32(-np.inf), best.scores))

    def chosen(self, best: Best, factors: Callable[[np.ndarray], np.ndarray], k: int) -> Best:
        """Return the first k entries, as MMR chooses them; factors: of items int64 [n], float32 [n, d]."""
        if self.mmr is not None:
            return mmr(best, factors, self.mmr.weight, k)
        return Best(best.indices[:, :k], best.scores[:, :k])
