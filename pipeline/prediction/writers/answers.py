"""What a prediction job found out for a block of visitors (or of items), on its way to the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.prediction.writers import textform
from pipeline.prediction.writers.pieces import as_pieces, quoted


class Words(NamedTuple):
    """How an answer calls its parts: who is answered, the list, and what stands in it."""

    asked: str
    found: str
    one: str


WORDS = {
    "recommendations": Words("visitorId", "recommendations", "contentId"),
    "audiences": Words("contentId", "audience", "visitorId"),
    "similar_items": Words("contentId", "similar_items", "contentId"),
    "similar_visitors": Words("visitorId", "similar_visitors", "visitorId"),
}


class Names:
    """Ids of what is given, by place; and as the formats write them, made when the first of them asks."""

    def __init__(self, ids: Sequence[bytes]):
        self.ids = ids

    @cached_property
    def escaped(self) -> pa.LargeBinaryArray:
        """As the text form writes them."""
        return as_pieces(textform.escape_all(self.ids))

    @cached_property
    def quoted(self) -> pa.LargeBinaryArray:
        """As JSON writes them."""
        return quoted(self.ids)

    @cached_property
    def strings(self) -> pa.StringArray:
        """As Parquet writes them."""
        return pa.array(self.ids, pa.binary()).cast(pa.string())


@dataclass(frozen=True)
class Reasons:
    """Which of the visitor's items carried each entry of b answers, up to n of them.

    Attributes:
        places: int64 [b, K, n], the greatest contribution first; -1 behind the last.
        shares: float32 [b, K, n], parts of the score of the visitor's projected row.
    """

    places: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True)
class Answers:
    """A block of b answers of up to K entries each.

    Attributes:
        asked: ids [b] of those who are answered.
        rules: [b], by which rule of `ranking.cold_start` each was.
        names: the ids of what is given, by place.
        places: int64 [b, K], best first; -1 behind an answer's last.
        scores: float32 [b, K]; -inf there.
        reasons: why, where that was asked.
    """

    asked: Sequence[bytes]
    rules: Sequence[str]
    names: Names
    places: np.ndarray
    scores: np.ndarray
    reasons: Reasons | None = None

    def __len__(self) -> int:
        return len(self.asked)

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 [b], entries of each answer."""
        return (self.places >= 0).sum(1)
