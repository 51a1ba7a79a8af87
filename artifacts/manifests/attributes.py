"""The part of a model's manifest on the factors from attributes."""

from __future__ import annotations

from artifacts.manifests.base import Part


class AttributesAccount(Part):
    """The regression from the items' features to their factors; its settings are those of cold_start."""

    features: int = 0  # columns of the regression without its constant; 0 is a model without one
    items: int = 0  # items that it was learned from: those with features
    known_items: int = 0  # items with views whose factors are in part from attributes
    reach: float = 0.0  # views from which on an item's attributes do not count
    reach_gain: float = 0.0  # what chose it, see trainer.attributes.reach, and the views that it was measured on
    reach_views: int = 0
    scale: float = 1.0  # what the factors of new items are multiplied by
    new_items: int = 0  # items that nobody has viewed and that can be recommended
    newest_items: int = 0  # others of which only a time in the last week is known
    without_features: int = 0  # other items that nobody has viewed: nothing is known of them
    seconds: float = 0.0


class VisitorsAccount(Part):
    """The answers to visitors without views, if cold_start.new_visitors asks for more than popularity.

    It is the regression from the visitors' features to their factors, or the lists of segments.
    """

    features: int = 0  # columns of the regression without its constant; 0 is a model without one
    visitors: int = 0  # visitors that it was learned from: those with features
    segments: int = 0  # segments with a list of their own
    seconds: float = 0.0
