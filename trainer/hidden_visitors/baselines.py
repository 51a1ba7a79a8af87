"""Popularity within a segment of visitors, such as those of one country."""

from __future__ import annotations

import numpy as np

from artifacts.features.feature_rows import Features
from artifacts.manifests import FieldFeatures
from ranking.attributes.segments import of_rows


def segments(features: Features, field: FieldFeatures) -> np.ndarray:
    """Return the segment of each visitor by a category, int64 [n]: its column in the field; 0 if it has none."""
    return np.maximum(of_rows(features.indptr, features.indices, field.offset, field.size), 0)
