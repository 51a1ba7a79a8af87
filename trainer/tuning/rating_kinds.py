"""Conversion of a dataset's ratings to another kind.

linear is scale x dwell and log is log(1 + dwell / epsilon): both can be converted back to the dwell, and so to any
kind. median is capped, and binary and ordinal do not contain the dwell: they can be converted to binary only.
"""

from __future__ import annotations

import numpy as np

from configs.errors import UserError
from configs.settings import RatingSettings

_FROM_DWELL = ("median", "log", "linear", "binary")


def possible(stored: RatingSettings) -> tuple[str, ...]:
    """Return the kinds to which ratings of this kind can be converted."""
    if stored.kind in ("linear", "log"):
        return _FROM_DWELL
    return (stored.kind,) if stored.kind == "binary" else (stored.kind, "binary")


def convert(values: np.ndarray, stored: RatingSettings, wanted: RatingSettings, median: float | None) -> np.ndarray:
    """Return float32 [n] ratings of the kind `wanted` from float32 [n] ratings of the kind `stored`.

    median: of the dwells, from the dataset's manifest. Raise UserError if the conversion is not possible.
    """
    if wanted == stored:
        return values
    if wanted.kind not in possible(stored):
        raise UserError(
            f"{stored.kind} ratings cannot be converted to rating.kind {wanted.kind}; "
            "make the dataset with rating.kind=linear to search it"
        )
    if wanted.kind == "binary":
        return np.ones_like(values)
    values = values.astype(np.float64)
    amounts = np.expm1(values) * stored.epsilon if stored.kind == "log" else values / stored.factor
    if wanted.kind == "log":
        return np.log1p(amounts / wanted.epsilon).astype(np.float32)
    if wanted.kind == "linear":
        return (wanted.factor * amounts).astype(np.float32)
    if not median:
        raise UserError("the dataset's manifest has no median; make the dataset again to search rating.kind median")
    return np.minimum(wanted.cap, wanted.factor * amounts / median).astype(np.float32)
