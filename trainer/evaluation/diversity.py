"""The cost of diversity: a model's lists as MMR chooses them, measured as those by score alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from configs.settings import EvaluationSettings
from ranking.diversity import Mmr
from ranking.rules.lists import ListRules
from trainer.evaluation.baselines import Factors
from trainer.evaluation.inputs import Block
from trainer.evaluation.intervals import Cells, Intervals
from trainer.evaluation.metrics import Directions, Sums, Users


class Diversity:
    """The sums of the lists for each lambda of the settings."""

    def __init__(self, model: Factors, settings: EvaluationSettings, sums: Callable[[], Sums]):
        """Take the model; sums: returns sums that are zero."""
        self._model, self._k = model, max(settings.k)
        self._each = [
            (ListRules(mmr=Mmr(weight, settings.mmr_candidates)), sums())
            for weight in sorted(set(settings.mmr_lambda), reverse=True)
        ]

    @property
    def width(self) -> int:
        """The number of candidates of a list, 0 if nothing is measured."""
        return min(max((rules.width(self._k) for rules, _ in self._each), default=0), len(self._model.items))

    def add(self, piece: Block, users: Users, table: Directions) -> None:
        """Add the lists of users who are prepared in the model."""
        if not self._each:
            return
        best = self._model.best(piece.keys, piece.seen, self.width)
        for rules, sums in self._each:
            lists = rules.chosen(best, self._factors, self._k).indices
            sums.add(lists, piece.truth, users)
            sums.add_similarity(lists, table, users)

    def cells(self, intervals: Intervals) -> dict[str, Cells]:
        """Return the metrics by lambda, such as 0.7, the greatest first."""
        return {f"{rules.mmr.weight:g}": intervals.of(sums) for rules, sums in self._each if rules.mmr}

    def _factors(self, items: np.ndarray) -> np.ndarray:
        return self._model.items[items]
