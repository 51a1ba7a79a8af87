"""The files that `pipeline.show` reads: visitors' rows and recommendations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import orjson

from artifacts import storage
from artifacts.manifests import DatasetManifest, PredictionsManifest
from artifacts.paths import Dataset, Predictions, join, shard_name
from artifacts.tfrecords import read_rows
from configs.errors import UserError

RankedItems = list[tuple[str, float]]  # contentId and score or rating, best first


@dataclass(frozen=True)
class Row:
    """The items that one visitor read: indices int64[n], and the ratings, values float32[n]."""

    key: int
    indices: np.ndarray
    values: np.ndarray

    def copy(self) -> Row:
        """Return a row with arrays of its own; a row that was read is a slice of a batch and keeps it in memory."""
        return Row(self.key, self.indices.copy(), self.values.copy())


class RowShards:
    """The rows of items_for_user. One batch of them is in memory at a time."""

    def __init__(self, dataset: Dataset, manifest: DatasetManifest) -> None:
        suffix, shards = ".gz" if manifest.compression == "gzip" else "", manifest.shards["items_for_user"]
        self._root = dataset.root
        self._paths = [shard_name(dataset.items_for_user, shard, shards, suffix) for shard in range(shards)]

    def __iter__(self) -> Iterator[Row]:
        for path in self._paths:
            for key, indices, values in read_rows(path):
                yield Row(key, indices, values)

    def of_keys(self, keys: Sequence[int]) -> list[Row]:
        """Return the rows of keys; a key's shard is the key modulo the number of shards.

        Raises:
            UserError: a key has no row.
        """
        rows: dict[int, Row] = {}
        for shard in sorted({key % len(self._paths) for key in keys}):
            wanted = {key for key in keys if key % len(self._paths) == shard}
            for key, indices, values in read_rows(self._paths[shard]):
                if key in wanted:
                    rows[key] = Row(key, indices, values).copy()
                    if wanted <= rows.keys():
                        break
        for key in keys:
            if key not in rows:
                raise UserError(f"{self._root} has no row of user {key}; make the dataset again")
        return [rows[key] for key in keys]


def read_recommendations(
    predictions: Predictions,
    manifest: PredictionsManifest,
    wanted: Set[str],
    count: Callable[[str, Sequence[str]], None] | None,
) -> dict[str, RankedItems]:
    """Read the recommendations of the visitors `wanted`.

    Args:
        count: is called with every visitor and its items; without it, reading stops after the wanted visitors.

    Raises:
        UserError: JSON lines are missing, or one cannot be read.
    """
    prefix = predictions.text.rpartition("/")[2]
    names = sorted(name for name in manifest.files if name.startswith(f"{prefix}-") and name.endswith(".jsonl"))
    if not names:
        raise UserError(f"{predictions.root} has no files {prefix}-*.jsonl; predict with jsonl in prediction.formats")
    recommended: dict[str, RankedItems] = {}
    for name in names:
        for visitor, entries in _read_lines(join(predictions.root, name)):
            if count:
                count(visitor, [item for item, _ in entries])
            if visitor in wanted:
                recommended[visitor] = entries
                if not count and recommended.keys() == wanted:
                    return recommended
    return recommended


def _read_lines(path: str) -> Iterator[tuple[str, RankedItems]]:
    try:
        file = storage.open_to_read(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); predict again") from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                record = orjson.loads(line)
                entries = sorted(record["recommendations"], key=lambda entry: entry["rank"])
                yield record["visitorId"], [(entry["contentId"], float(entry["score"])) for entry in entries]
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path}, line {number} is not a prediction ({error!r}); predict again") from error
