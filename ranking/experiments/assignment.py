"""The variant of each visitor in an experiment: by a salted hash of the visitorId, the same in batch and in the server.

A site can compute it, too: docs/experiments.md has the formula in SQL.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artifacts.id_lists import IdList
from configs.settings import ExperimentSettings

_BITS = 53  # of the hash, which a float64 has exactly


def position(salt: str, visitor: bytes) -> float:
    """Return the place of a visitor in [0, 1): the first 53 bits of SHA-256 of salt, NUL and visitorId."""
    digest = hashlib.sha256(salt.encode() + b"\0" + visitor).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS)


@dataclass(frozen=True)
class Experiment:
    """An experiment that runs.

    Attributes:
        variants: the names, in the order of the settings. shares: of the visitors, which sum to 1.
        excluded: visitors who are not part of it.
    """

    name: str
    salt: str
    variants: tuple[str, ...]
    shares: tuple[float, ...]
    excluded: frozenset[bytes] = frozenset()
    planned_visitors: int = 0

    @classmethod
    def of(cls, settings: ExperimentSettings) -> Experiment | None:
        """Return the experiment that the settings describe, None if none is; raise UserError if a file is not there."""
        if settings.name is None:
            return None
        excluded = IdList.read(settings.exclude, "experiment.exclude").ids if settings.exclude else frozenset()
        shares = tuple(variant.share for variant in settings.variants.values())
        salt, planned = settings.salt or settings.name, settings.planned_visitors
        return cls(settings.name, salt, tuple(settings.variants), shares, excluded, planned)

    def variant_of(self, visitor: bytes) -> str | None:
        """Return the variant of a visitor; None for one who is excluded."""
        if visitor in self.excluded:
            return None
        # The last bound is left out: the shares may sum to a little less than 1.
        bounds = list(itertools.accumulate(self.shares))[:-1]
        return self.variants[bisect.bisect_right(bounds, position(self.salt, visitor))]

    def numbers(self, visitors: Sequence[bytes]) -> np.ndarray:
        """Return the number of each visitor's variant, int64 [n]; -1 for one who is excluded."""
        number = {name: place for place, name in enumerate(self.variants)} | {None: -1}
        return np.array([number[self.variant_of(visitor)] for visitor in visitors], np.int64)
