"""Records of a file as readers return them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa


class FormatError(ValueError):
    """A file has another format than its reader; the message names the other format if it is known."""


class MissingColumnError(ValueError):
    """A file has no such column; names: those that it has, advice: what to do where none is spelt like it."""

    def __init__(self, name: str, names: list[str], advice: str):
        super().__init__(name)
        self.name, self.names, self.advice = name, names, advice


@dataclass
class RawBatch:
    """Some records of a file."""

    columns: pa.RecordBatch  # the fields asked for, as the file types them
    numbers: np.ndarray  # int64[rows], each record's number in its file, from 1
    malformed: list[tuple[int, str]] = field(default_factory=list)  # number and complaint of each unreadable record
    dialect: str | None = None  # of a CSV file, with its first records


class Parsed(NamedTuple):
    """The records of a block, with their positions in it, int64[rows]; position and complaint of each bad one."""

    columns: pa.RecordBatch
    positions: np.ndarray
    malformed: list[tuple[int, str]]


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type without the names of its fields, which can be ids."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return re.sub(r"<.*", "", str(kind), flags=re.DOTALL)


def without_values(error: BaseException) -> str:
    """Return an error's message in one line, without the values in quotes or behind a colon: they can be ids."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"(?<!\w)('[^']*'|\"[^\"]*\")", "...", text)
    text = re.sub(r"\b(struct|map|list)<.*>", r"\1", text)
    return re.sub(r"\b(parse|parsing|invalid value|Could not convert)\b.*", r"\1 a value", text)
