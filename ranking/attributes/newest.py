"""New items without attributes: only their time of publication is known, or that they have just been added.

Nothing predicts who will view such an item, so that no score ranks it among others. The newest of them have the last
places of each list until they have views (last_places.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artifacts.features.feature_rows import Features
from artifacts.manifests import FieldFeatures

MOST = 1000  # ids that a model has, as many as the longest list
_BUCKETS = 3  # of the age: below a day, below 3 and below 7


def telling(fields: Sequence[FieldFeatures], width: int) -> np.ndarray:
    """Return bool [width], the features by which factors can be predicted.

    Where a field is a time, all but times and the first feature of a field, which states that it is missing.
    """
    tells = np.ones(width, bool)
    if any(field.kind == "time" for field in fields):
        for field in fields:
            last = field.offset + (field.size if field.kind == "time" else int(field.kind != "embedding"))
            tells[field.offset : last] = False
    return tells


def order(rows: Features, fields: Sequence[FieldFeatures]) -> np.ndarray:
    """Return the rows of which only a time of at most a week ago is known, newest first; at most MOST, int64.

    Of the same age, the lower row comes first. The times are those of the buckets of the dataset's features.
    """
    owners = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
    ages = np.full(len(rows), _BUCKETS)
    for field in fields:
        if field.kind == "time":
            buckets = rows.indices - field.offset - 1
            is_recent = (buckets >= 0) & (buckets < min(_BUCKETS, field.size - 1))
            np.minimum.at(ages, owners[is_recent], buckets[is_recent])
    ages[owners[telling(fields, rows.width)[rows.indices]]] = _BUCKETS
    ordered = np.argsort(ages, kind="stable")
    return ordered[ages[ordered] < _BUCKETS][:MOST]


def described(rows: Features, fields: Sequence[FieldFeatures]) -> np.ndarray:
    """Return bool [n], the rows with features by which factors can be predicted."""
    known = np.append(0, np.cumsum(telling(fields, rows.width)[rows.indices]))
    return known[rows.indptr[1:]] > known[rows.indptr[:-1]]
