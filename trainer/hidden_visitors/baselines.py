"""Popularity within a segment of visitors, such as those of one country."""

from __future__ import annotations

import numpy as np

from artifacts.features.feature_rows import Features
from artifacts.manifests import FieldFeatures
from artifacts.sparse_rows import SparseRows

SHRINKAGE = 100  # visitors of all segments that count as much as those of a segment


def segments(features: Features, field: FieldFeatures) -> np.ndarray:
    """Return the segment of each visitor by a category, int64 [n]: its column in the field; 0 if it has none."""
    inside = (features.indices >= field.offset) & (features.indices < field.offset + field.size)
    owners = np.repeat(np.arange(len(features)), np.diff(features.indptr))
    of_rows = np.zeros(len(features), np.int64)
    of_rows[owners[inside]] = features.indices[inside] - field.offset
    return of_rows


def scores(views: SparseRows, members: np.ndarray, total: np.ndarray, visitors: int) -> np.ndarray:
    """Return the popularity of items in a segment, float32 [m]: the share of its visitors who have an item.

    The popularity of all visitors counts like that of `SHRINKAGE` more visitors of the segment.

    Args:
        views: rows of the visitors. members: bool [n], those of the segment. total: int [m], the visitors of each item.
        visitors: the number of visitors that `total` counts.
    """
    owners = np.repeat(members[views.keys], views.lengths)
    own = np.bincount(views.indices[owners], minlength=len(total))
    size = int((members[views.keys] & (views.lengths > 0)).sum())
    return ((own + SHRINKAGE * total / max(visitors, 1)) / (size + SHRINKAGE)).astype(np.float32)
