"""The groups of visitors for whom item kNN ranks what is held out better, in a comparison of settings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.sparse_rows import SparseRows
from configs.settings import EvaluationSettings
from ranking.measures.lists import Columns, of_lists
from trainer.evaluation.baselines import ItemKnn
from trainer.evaluation.metrics import ACTIVITY
from trainer.evaluation.segments import HAVE, Segments
from trainer.evaluation.verdicts import LEAST

_NORMAL = 1.96  # standard errors of half a 95 % interval


class WeakGroups(NamedTuple):
    """Groups of LEAST or more visitors, by the same rules as those of an evaluation, with the metrics of item kNN.

    Attributes:
        groups: positions int64 [r] of each group among the u visitors with held-out items.
        theirs: recall and NDCG of item kNN, float64 [u] each.
    """

    groups: list[np.ndarray]
    theirs: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, items: ItemsTable, train: SparseRows, held_out: SparseRows, k: int) -> WeakGroups:
        """Return the groups of the visitors with held-out items; rows keyed 0 .. n - 1 in order."""
        users = np.flatnonzero(held_out.lengths)
        seen, truth = train.take(users), held_out.take(users)
        kinds, segments = list(ACTIVITY.values()), Segments.of(items)
        activity = np.searchsorted([limit for limit in kinds if limit is not None], seen.lengths)
        groups = [np.flatnonzero(activity == kind) for kind in range(len(kinds))]
        for members in segments.members(seen, truth):
            groups += [
                members.positions[members.groups == number]
                for number, name in enumerate(segments.names)
                if name.startswith(HAVE)
            ]
        count = min(EvaluationSettings().neighbours, len(items))
        lists = ItemKnn.of(train, len(items), count).top(users, seen, k)
        theirs = Columns.of(of_lists(lists, truth, np.array([k]), np.zeros(len(items)))[:, 0])
        return cls([group for group in groups if len(group) >= LEAST], (theirs.recall, theirs.ndcg))

    def behind(self, *ours: np.ndarray) -> int:
        """Return for how many groups item kNN is significantly better; ours: recall and NDCG, float64 [u] each."""
        differences = [mine - other for mine, other in zip(ours, self.theirs, strict=True)]
        return sum(any(_is_below_zero(values[group]) for values in differences) for group in self.groups)


def _is_below_zero(values: np.ndarray) -> bool:
    return bool(values.mean() + _NORMAL * values.std() / len(values) ** 0.5 < 0)
