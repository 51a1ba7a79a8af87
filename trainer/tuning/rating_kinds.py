"""Ratings of another kind, made of those that a dataset holds, where they still say how long a visitor stayed.

linear is scale x dwell and log is log(1 + dwell / epsilon): both can be turned back into the dwell, and so into any
kind. median is capped, and binary and ordinal never knew: of these only binary can be made.
"""

from __future__ import annotations

import numpy as np

from configs.errors import UserError
from configs.settings import RatingSettings

_FROM_DWELL = ("median", "log", "linear", "binary")


def possible(stored: RatingSettings) -> tuple[str, ...]:
    """The kinds that can be made of ratings of this kind."""
    if stored.kind in ("linear", "log"):
        return _FROM_DWELL
    return (stored.kind,) if stored.kind == "binary" else (stored.kind, "binary")


def convert(values: np.ndarray, stored: RatingSettings, wanted: RatingSettings, median: float | None) -> np.ndarray:
    """float32 [n] ratings as `wanted` makes them, from float32 [n] ratings that `stored` made.

    Args:
        median: of the dwells, as the dataset's manifest has it.

    Raises:
        UserError: they cannot be made of these.
    """
    if wanted == stored:
        return values
    if wanted.kind not in possible(stored):
        raise UserError(
            f"rating.kind {wanted.kind} cannot be made of {stored.kind} ratings; "
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
