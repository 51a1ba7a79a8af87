"""What `pipeline.show` reads: the catalogue, the visitors' rows, the recommendations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import orjson
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from artifacts import catalogue
from artifacts.paths import Dataset, Predictions
from artifacts.storage import open_to_read
from artifacts.tfrecords import read_rows
from configs.errors import UserError

List = list[tuple[str, float]]  # contentId and score or rating, best first


@dataclass(frozen=True)
class Row:
    """What one visitor read: indices int64[n] of items, values float32[n], the ratings."""

    key: int
    indices: np.ndarray
    values: np.ndarray


class Listener(Protocol):
    def add(self, visitor: str, items: Sequence[str]) -> None: ...


def read_catalogue(path: str, needed: bool) -> dict[str, tuple[str, str]]:
    """contentId -> title and category; empty where there is no file and none is needed.

    Raises:
        UserError: the file is needed and missing, or lacks a column.
    """
    if not _exists(path):
        if needed:
            raise UserError(f"catalogue {path} does not exist")
        return {}
    try:
        with open_to_read(path) as file:
            return catalogue.parse(file, path)
    except OSError as error:
        raise UserError(f"catalogue {path} cannot be read: {error}") from error


class RowShards:
    """The rows of items_for_user. One at a time is in memory, whatever the size of the dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self._root = dataset.root
        self._paths = _shards(dataset.items_for_user, r"(\.gz)?")
        if not self._paths:
            raise UserError(f"{dataset.root} has no files items_for_user-*; make the dataset again")

    def __iter__(self) -> Iterator[Row]:
        for path in self._paths:
            for key, indices, values in read_rows(path):
                yield Row(key, indices, values)

    def of_keys(self, keys: Sequence[int]) -> list[Row]:
        """The rows of the given keys. A key's shard is known: the remainder of its division by the shards."""
        found: dict[int, Row] = {}
        for shard in sorted({key % len(self._paths) for key in keys}):
            wanted = {key for key in keys if key % len(self._paths) == shard}
            for key, indices, values in read_rows(self._paths[shard]):
                if key in wanted:
                    found[key] = Row(key, indices.copy(), values.copy())
                    if wanted <= found.keys():
                        break
        for key in keys:
            if key not in found:
                raise UserError(f"{self._root} has no row of user {key}; make the dataset again")
        return [found[key] for key in keys]


def read_recommendations(predictions: Predictions, wanted: Set[str], listener: Listener | None) -> dict[str, List]:
    """The recommendations of the visitors `wanted`; `listener` hears of everybody's.

    Raises:
        UserError: there are no JSON lines, or one cannot be read.
    """
    paths = _shards(predictions.text, r"\.jsonl")
    if not paths:
        raise UserError(
            f"{predictions.root} has no files predictions-*.jsonl; predict with jsonl in prediction.formats"
        )
    found: dict[str, List] = {}
    for path in paths:
        with open_to_read(path) as file:
            for number, line in enumerate(file, 1):
                if listener is None and found.keys() == wanted:
                    return found
                try:
                    record = orjson.loads(line)
                    visitor, entries = record["visitorId"], record["recommendations"]
                    if listener:
                        listener.add(visitor, [entry["contentId"] for entry in entries])
                    if visitor in wanted:
                        entries = sorted(entries, key=lambda entry: entry["rank"])
                        found[visitor] = [(entry["contentId"], float(entry["score"])) for entry in entries]
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(f"{path}, line {number} is no prediction ({error!r})") from error
    return found


def _shards(prefix: str, suffix: str) -> list[str]:
    """The files `prefix-SSSSS-of-NNNNN` and a suffix, in order.

    Raises:
        UserError: some of them are missing.
    """
    (match,) = FileSystems.match([f"{prefix}-*"])
    name = re.compile(re.escape(prefix.rsplit("/", 1)[-1]) + r"-(\d{5})-of-(\d{5})" + suffix)
    parts = [(name.fullmatch(re.split(r"[/\\]", file.path)[-1]), file.path) for file in match.metadata_list]
    found = {(int(part[2]), int(part[1])): path for part, path in parts if part}
    if sorted(found) != [(len(found), shard) for shard in range(len(found))]:
        raise UserError(f"the files {prefix}-* are not one whole set; make them again")
    return [found[key] for key in sorted(found)]


def _exists(path: str) -> bool:
    try:
        return FileSystems.exists(path)
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
