"""The part of a model's manifest on its item-item term."""

from __future__ import annotations

from pydantic import Field

from artifacts.manifests.base import Part
from configs.settings import NeighbourhoodSettings


class GammaTrial(Part):
    """A weight of the term, with recall@20 and NDCG@20 on what was held out to choose it."""

    gamma: float
    few_items: bool = False  # gamma / sqrt(n) was the weight of a visitor with n items
    recall: float
    ndcg: float
    gain: float  # of NDCG over weight 0, paired by visitor
    error: float  # its standard error
    behind: int = 0  # groups of visitors for whom item kNN is significantly better


class NeighbourhoodAccount(Part):
    """The item-item term of a model."""

    settings: NeighbourhoodSettings = NeighbourhoodSettings()
    gamma: float = 0.0  # its weight, as set or as chosen; 0 is a model without the term
    few_items: bool = False  # gamma / sqrt(n) is the weight of a visitor with n items
    entries: int = 0  # related items in `Model.related_items`
    visitors: int = 0  # on whom the weight was chosen; 0 if it was set
    trials: list[GammaTrial] = Field(default_factory=list)  # the weights that were compared, 0 first
    seconds: float = 0.0  # of choosing and of making the matrix
