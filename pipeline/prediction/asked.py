"""The items, or the listed visitors, that a job asks visitors for."""

from __future__ import annotations

import numpy as np

from pipeline.prediction import visitors
from pipeline.prediction.items import Items
from pipeline.prediction.plan import Plan
from ranking import cold_start, similarity
from ranking.neighbourhood import Audience

_FACTORS = 1 << 22  # numbers of a block of visitors' factors: 16 MB
_BLOCK_ENTRIES = 1 << 18  # of the answers of a block


class Asked:
    """The asked, by itemId (or userId); items that the model lacks come after the others.

    Attributes:
        items: all items, in memory too. ids: [q].
        keys: int64 [q'], their itemIds (or userIds), ascending, without the items that the model lacks.
        vectors: float32 [q, d], to be multiplied with the visitors'. rules: [q].
        block: how many are answered at once.
        term: the model's item-item term of the asked items; None without one, and for visitors.
    """

    def __init__(self, plan: Plan):
        self.items = Items(plan)
        self.term: Audience | None = None
        if plan.options.asks_visitors:
            self._ask_visitors(plan, self.items)
        else:
            self._ask_items(plan, self.items)
        self.block = max(1, min(plan.options.block_size, _BLOCK_ENTRIES // plan.options.top_k))

    def _ask_items(self, plan: Plan, items: Items) -> None:
        wanted, names, unknown = plan.asked_ids(), items.names.ids, list(plan.unknown)
        known = [item for item in items.allowed_ids.tolist() if wanted is None or names[item] in wanted]
        mean = cold_start.mean_item(items.factors[: plan.items])
        self.keys = np.array(known, np.int64)
        self.ids = [names[item] for item in known] + unknown
        self.vectors = np.concatenate([items.factors[self.keys], np.repeat(mean[None], len(unknown), 0)])
        in_dataset = self.keys[self.keys < plan.items]
        if items.neighbourhood:
            self.term = Audience.of(items.neighbourhood, in_dataset, len(self.ids) - len(in_dataset))
        by_attributes = [cold_start.ATTRIBUTES] * (len(known) - len(in_dataset))
        self.rules = [cold_start.FACTORS] * len(in_dataset) + by_attributes + [cold_start.MEAN_ITEM] * len(unknown)

    def _ask_visitors(self, plan: Plan, items: Items) -> None:
        wanted, size = plan.asked_ids(), block_rows(items)
        blocks = [b for shard in range(plan.user_shards) for b in visitors.read(plan, items, shard, size, wanted)]
        keys = np.concatenate([np.zeros(0, np.int64), *(block.rows.keys for block in blocks)])
        tables = [np.zeros((0, items.factors.shape[1]), np.float32), *(vectors(plan, b.factors) for b in blocks)]
        names = [name for block in blocks for name in block.ids]
        # Factors are compared for visitors that popularity would answer, too.
        projected = np.array([rule == cold_start.PROJECTION for block in blocks for rule in block.rules], bool)
        order = np.argsort(keys)
        self.keys, self.vectors = keys[order], np.concatenate(tables)[order]
        self.ids = [names[position] for position in order]
        self.rules = np.where(projected[order], cold_start.PROJECTION, cold_start.FACTORS).tolist()

    def positions(self, keys: np.ndarray) -> np.ndarray:
        """Return the position among the asked of each itemId (or userId), int64; -1 for one that is not asked."""
        positions = np.searchsorted(self.keys, keys)
        padded = np.append(self.keys, -1)
        return np.where(padded[positions] == keys, positions, -1)

    def blocks(self) -> range:
        """Return the first position of each block."""
        return range(0, len(self.ids), self.block)


def block_rows(items: Items) -> int:
    """Return the number of visitors in a block."""
    return max(256, _FACTORS // items.factors.shape[1])


def vectors(plan: Plan, factors: np.ndarray) -> np.ndarray:
    """Return what visitors are compared by: their factors, or the directions of these."""
    by_cosine = plan.options.kind == "similar_visitors" and plan.options.metric == "cosine"
    return similarity.directions(factors) if by_cosine else factors
