"""Strength of an occurrence of a signal: its weight, its age, and one unit for dwells and counts; and its mark."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from artifacts.names import DAY_MS
from configs.settings import SourceSettings
from configs.settings.signals import Signal

MINUTE_MS = 60_000
# Strengths are multiples of 1 / this, so that their sums are exact below 2^33: the order of the rows, which depends on
# the format and the engine, changes no bit of a dataset.
_STEPS = 1 << 20


def strengths(amounts: np.ndarray, signals: np.ndarray, times_ms: np.ndarray, source: SourceSettings) -> np.ndarray:
    """Return what occurrences count, float64[n].

    Args:
        amounts: float64[n]: the dwell in ms of a signal with `dwell`, else a number.
        signals: int64[n]: the place of each occurrence's signal in source.all_signals.
        times_ms: int64[n], since 1970.
    """
    every = source.all_signals
    factors = np.array([_factor(signal, every) for signal in every])
    are_whole = all(signal.dwell or signal.amount == "count" for signal in every)
    if are_whole and (factors == 1).all() and not any(signal.half_life_days for signal in every):
        return amounts
    counted = amounts * factors[signals]
    if source.end_date:
        end_ms = _end_ms(source.end_date)
        for place, signal in enumerate(every):
            if signal.half_life_days:
                rows = signals == place
                age_ms = np.maximum(end_ms - times_ms[rows], 0)
                counted[rows] *= np.exp2(-age_ms / (signal.half_life_days * DAY_MS))
    return np.round(counted * _STEPS) / _STEPS


def marks(signals: np.ndarray, source: SourceSettings) -> np.ndarray | None:
    """Return which occurrences let their item be recommended again, bool[n]; None if no signal does.

    Args:
        signals: int64[n]: the place of each occurrence's signal in source.all_signals.
    """
    if not source.recommends_again:
        return None
    return np.array([signal.recommend_again for signal in source.all_signals])[signals]


def mixes_units(signals: Sequence[Signal]) -> bool:
    """Return whether dwells are next to signals that count events; then a dwell is in minutes, else in ms."""
    return len({signal.dwell for signal in signals}) > 1


def _factor(signal: Signal, signals: Sequence[Signal]) -> float:
    return signal.weight / MINUTE_MS if signal.dwell and mixes_units(signals) else signal.weight


def _end_ms(day: datetime.date) -> int:
    """Return the end of a day in UTC, as pipeline.dataset.ratings.decay has it."""
    end = datetime.datetime.combine(day, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    return round(end.timestamp() * 1000)
