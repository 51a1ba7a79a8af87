"""The part of a model's manifest on its item-item term."""

from __future__ import annotations

from pydantic import Field

from artifacts.manifests.base import Part
from configs.settings import NeighbourhoodSettings


class GammaTrial(Part):
    """A weight of the term, with recall@20 and NDCG@20 on what was held out to choose it.

    Attributes:
        gain: of NDCG over weight 0, paired by visitor. error: its standard error.
    """

    gamma: float
    recall: float
    ndcg: float
    gain: float
    error: float


class NeighbourhoodAccount(Part):
    """The item-item term of a model.

    Attributes:
        gamma: its weight, as set or as chosen; 0 is a model without the term.
        entries: related items in `Model.related_items`.
        visitors: on whom the weight was chosen; 0 if it was set.
        trials: the weights that were compared, 0 first. seconds: of choosing and of making the matrix.
    """

    settings: NeighbourhoodSettings = NeighbourhoodSettings()
    gamma: float = 0.0
    entries: int = 0
    visitors: int = 0
    trials: list[GammaTrial] = Field(default_factory=list)
    seconds: float = 0.0
