"""The answers to a block of visitors (or of items), as the writers receive them."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, ClassVar, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import Settings
from pipeline.prediction.writers import textform
from ranking.experiments import promoted
from ranking.experiments.exploration import Explored
from ranking.heap import Best


class Words(NamedTuple):
    """The names of an answer's parts: the id that is asked about, the list, and the id in each entry."""

    asked: str
    entries: str
    entry: str


WORDS = {
    "recommendations": Words("visitorId", "recommendations", "contentId"),
    "audiences": Words("contentId", "audience", "visitorId"),
    "similar_items": Words("contentId", "similar_items", "contentId"),
    "similar_visitors": Words("visitorId", "similar_visitors", "visitorId"),
}


class Names:
    """The ids of the entries by index, and their form in each format, made on first use."""

    def __init__(self, ids: Sequence[bytes]):
        self.ids = ids

    @cached_property
    def escaped(self) -> pa.LargeBinaryArray:
        """The ids in the text form."""
        return pa.array(textform.escape_all(self.ids), pa.large_binary())

    @cached_property
    def quoted(self) -> pa.LargeBinaryArray:
        """The ids as JSON strings."""
        return as_json(self.ids)

    @cached_property
    def strings(self) -> pa.StringArray:
        """The ids as Arrow strings."""
        return pa.array(self.ids, pa.binary()).cast(pa.string())


def as_json(values: Sequence[bytes] | Sequence[str] | np.ndarray) -> pa.LargeBinaryArray:
    """Return each value as JSON: ids (UTF-8), texts, or float32 [n] with the fewest digits that are read back as it."""
    if not len(values):
        return pa.array([], pa.large_binary())
    if not isinstance(values, np.ndarray):
        values = [value.decode() if isinstance(value, bytes) else value for value in values]
    text = orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    # A string in JSON has no line end of its own, so this separator occurs only between two values.
    return pc.split_pattern(pa.array([text[4:-2]], pa.large_binary()), pattern=b",\n  ").flatten()


@dataclass(frozen=True)
class Reasons:
    """The explanation of each entry of b answers: up to n of the visitor's items."""

    items: np.ndarray  # int64 [b, K, n], the greatest contribution first; -1 after the last
    contributions: np.ndarray  # float32 [b, K, n], parts of the score of the visitor's projected factors


class Arm(NamedTuple):
    """The part of an experiment that a block of answers is of: a variant, None outside of it, and its model."""

    variant: str | None
    model_version: str


class Extra(NamedTuple):
    """The columns that only some jobs write: of an experiment, and of exploration."""

    variant: bool = False
    propensity: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Extra:
        """Return those of a job with these settings."""
        if settings.prediction.kind != "recommendations":
            return cls()
        runs = promoted.in_effect(settings).experiment.name is not None
        return cls(runs, settings.exploration.share > 0)


@dataclass(frozen=True)
class Answers:
    """A block of b answers of up to K entries each."""

    asked: Sequence[bytes]  # ids [b] of the visitors (or items) that are answered
    rules: Sequence[str]  # [b], the rule of `ranking.cold_start` that answered each
    names: Names  # the ids of the entries, by index
    best: Best  # indices int64 [b, K] and scores float32 [b, K]
    reasons: Reasons | None = None  # the explanations, if the job asks for them
    arm: Arm | None = None  # the variant that is answered, if there is an experiment
    explored: Explored | None = None  # the propensities, of recommendations
    rested: int = 0  # items that are left out because they were shown and not clicked

    def __len__(self) -> int:
        return len(self.asked)

    @cached_property
    def filled(self) -> np.ndarray:
        """bool [b, K], whether an answer has an entry at this rank."""
        return self.best.indices >= 0

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 [b], entries of each answer."""
        return self.filled.sum(1)

    @cached_property
    def indices(self) -> pa.Array:
        """int64 [entries], the index of each entry of all answers."""
        return pa.array(self.best.indices[self.filled])

    @cached_property
    def scores(self) -> np.ndarray:
        """float32 [entries], the score of each entry."""
        return self.best.scores[self.filled]

    @cached_property
    def propensities(self) -> np.ndarray:
        """float64 [entries], the propensity of each entry: 1 if the job does not explore."""
        return self.explored.propensity[self.filled] if self.explored else np.ones(int(self.filled.sum()))

    @cached_property
    def ranks(self) -> np.ndarray:
        """int64 [entries], the rank of each entry; the first of an answer is 1."""
        return np.nonzero(self.filled)[1] + 1


@dataclass(frozen=True)
class Stamp:
    """The run that wrote a row of a table; experiment: JSON of `ExperimentOfRows`, if there is one."""

    model_version: str
    run_time: datetime.datetime
    experiment: str | None = None


class Writer(ABC):
    """Writes the answers of one open file, and does not close it; suffix: of the files' names."""

    suffix: ClassVar[str]

    def __init__(self, file: BinaryIO, words: Words, stamp: Stamp, extra: Extra = Extra()):  # noqa: B008 - a constant
        self._file, self._words, self._stamp, self._extra = file, words, stamp, extra

    @abstractmethod
    def write(self, answers: Answers) -> None:
        """Write a block of answers."""

    def finish(self) -> None:  # noqa: B027 - only some formats have a footer
        """Write the format's footer, if it has one. Not called after an error."""
