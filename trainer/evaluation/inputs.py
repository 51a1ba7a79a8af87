"""A dataset with a split, and models that were trained on it: checked, and read a file of users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from artifacts import manifests, tf_storage
from artifacts.paths import Dataset, Model
from configs.errors import UserError
from ranking.sparse_rows import SparseRows
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo

_SCORES = 1 << 23  # at once, a thread: 32 MB


@dataclass(frozen=True)
class HeldOut:
    """What a dataset's manifest says of its split, and the files.

    split: as in the manifest. users: with something held out. explicit: whether the ratings are given, not dwelt.
    """

    info: DatasetInfo
    split: dict[str, Any]
    users: int
    explicit: bool

    @classmethod
    def read(cls, dataset_dir: str) -> HeldOut:
        """Raises: UserError: no dataset, or one that holds nothing out."""
        info, dataset = dataset_rows.read_info(dataset_dir), Dataset(dataset_dir)
        content = manifests.parse(tf_storage.read_bytes(dataset.manifest), "dataset", dataset.manifest)
        split = content.get("split", {"kind": "none"})
        if split["kind"] == "none":
            raise UserError(
                f"{dataset_dir} was made without a split: nothing is held out to evaluate by; make it again, "
                "e.g. with --split last_n (docs/evaluation.md)"
            )
        users = sum(content["files"][path.rsplit("/", 1)[1]]["records"] for path in info.shards(dataset.held_out))
        explicit = bool(content.get("settings", {}).get("source", {}).get("rating_column"))
        return cls(info, split, users, explicit)

    def blocks(self) -> Iterator[Block]:
        """All users with something held out, a file at a time: keys ascend."""
        dataset = Dataset(self.info.root)
        paths = [self.info.shards(prefix) for prefix in (dataset.items_for_user, dataset.held_out)]
        if len(paths[0]) != len(paths[1]):
            raise UserError(f"{self.info.root} has not as many held_out-* as items_for_user-* files; make it again")
        for own, held in zip(*paths, strict=True):
            truth = dataset_rows.read_rows(held, self.info.users, self.info.items)
            yield Block(
                truth.keys, _of(dataset_rows.read_rows(own, self.info.users, self.info.items), truth.keys), truth
            )


@dataclass(frozen=True)
class Block:
    """keys int64 [b] of users; rows at the same places: what train has of each, and what is held out."""

    keys: np.ndarray
    seen: SparseRows
    truth: SparseRows

    def pieces(self, items: int) -> list[Block]:
        """Blocks of so few users that their scores of all items fit a thread's share of memory."""
        size = min(512, max(16, _SCORES // items))
        places = np.arange(len(self.keys))
        parts = [places[first : first + size] for first in range(0, len(places), size)]
        return [Block(self.keys[part], self.seen.take(part), self.truth.take(part)) for part in parts]


def _of(rows: SparseRows, keys: np.ndarray) -> SparseRows:
    """The rows of these keys; an empty one where there is none. Both ascend."""
    places = np.searchsorted(rows.keys, keys)
    there = places < len(rows)
    there[there] = rows.keys[places[there]] == keys[there]
    own = rows.take(places[there])
    lengths = np.zeros(len(keys), np.int64)
    lengths[there] = own.lengths
    return SparseRows(keys, np.append(0, np.cumsum(lengths)), own.indices, own.values)


def read_model(model_dir: str, info: DatasetInfo) -> dict[str, Any]:
    """The manifest of a model of this dataset.

    Raises:
        UserError: there is no finished one, or it was trained on another dataset.
    """
    path = Model(model_dir).manifest
    if not tf_storage.exists(path):
        raise UserError(f"{model_dir} is no finished model (no manifest.json in it); train it first")
    content = manifests.parse(tf_storage.read_bytes(path), "model", path)
    of = content["dataset"]
    if of["fingerprint"] != info.fingerprint:
        raise UserError(
            f"model {model_dir} was trained on another dataset ({of.get('root')}, {of['fingerprint'][:12]}) than "
            f"{info.root} ({info.fingerprint[:12]}): it may have seen what is held out here; train it on this one"
        )
    return content
