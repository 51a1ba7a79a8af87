"""Pseudo-random numbers from a hash of user and item, the same on every machine."""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hashes(seed: int, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return float64 [n] in 0 .. 1 that pass as random: SplitMix64's finaliser over seed, user and item."""
    first, second, third = _MULTIPLIERS
    state = np.full(len(users), seed, np.uint64)
    for part in (users, items):
        state = (state + part.astype(np.uint64) + np.uint64(1)) * first
        state = (state ^ (state >> np.uint64(30))) * second
        state = (state ^ (state >> np.uint64(27))) * third
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)) / float(1 << 53)
