"""Items that may be in a list, by their age and their category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artifacts.names import DAY_MS


def recent(first_time_ms: np.ndarray, newest_ms: float, max_age_days: float) -> np.ndarray:
    """Return bool [m], which items were first viewed at most this long before the last view of the dataset.

    first_time_ms: float64 [m], NaN for an item without a view, which is not recent. newest_ms: of the last view.
    """
    oldest = newest_ms - max_age_days * DAY_MS
    return np.nan_to_num(first_time_ms, nan=-np.inf) >= oldest


def numbered(categories: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Return a number for the category of each item, int32 [n], and those of all categories; -1 without one."""
    numbers = {"": -1}
    of_items = np.array([numbers.setdefault(name, len(numbers) - 1) for name in categories], np.int32)
    return of_items, numbers
