"""A dataset with a split, and models that were trained on it: checked, and read one file of users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from artifacts.manifests import ModelManifest
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo

_ENTRIES = 1 << 20  # of the lists that are in memory at once, per system: 8 MB, and as much per metric


@dataclass(frozen=True)
class HeldOut:
    """A dataset with a split; `users` is the number of those with something held out."""

    info: DatasetInfo
    users: int

    @classmethod
    def read(cls, dataset_dir: str) -> HeldOut:
        """Read the manifest; raise UserError if the dataset has no split."""
        info = dataset_rows.read_info(dataset_dir)
        manifest = info.manifest
        if manifest.split.kind == "none":
            raise UserError(
                f"{dataset_dir} was made without a split: nothing is held out to evaluate by; make it again, "
                "e.g. with --split last_n (docs/evaluation.md)"
            )
        held_out = info.shards(Dataset(dataset_dir).held_out)
        users = sum(manifest.files[path.rsplit("/", 1)[1]].records or 0 for path in held_out)
        return cls(info, users)

    def blocks(self) -> Iterator[Block]:
        """Yield all users with something held out, one file at a time; keys ascend."""
        dataset = Dataset(self.info.root)
        paths = [self.info.shards(prefix) for prefix in (dataset.items_for_user, dataset.held_out)]
        if len(paths[0]) != len(paths[1]):
            raise UserError(f"{self.info.root} must have as many held_out-* as items_for_user-* files; make it again")
        for own, held in zip(*paths, strict=True):
            seen, truth = (dataset_rows.read_rows(path, self.info.users, self.info.items) for path in (own, held))
            yield Block(truth.keys, seen.at(truth.keys), truth)


@dataclass(frozen=True)
class Block:
    """Users by key int64 [b], and at the same positions their items in train, and those that are held out."""

    keys: np.ndarray
    seen: SparseRows
    truth: SparseRows

    def pieces(self, k: int) -> Iterator[Block]:
        """Yield blocks of so few users that their lists of k items fit into memory."""
        size = max(1, _ENTRIES // k)
        for first in range(0, len(self.keys), size):
            last = min(first + size, len(self.keys))
            yield Block(self.keys[first:last], self.seen.between(first, last), self.truth.between(first, last))


def read_model(model_dir: str, info: DatasetInfo) -> ModelManifest:
    """Return the manifest of a model; raise UserError if it was trained on another dataset."""
    manifest = ModelManifest.read(Model(model_dir).manifest)
    dataset = manifest.dataset
    if dataset.fingerprint != info.fingerprint:
        raise UserError(
            f"model {model_dir} was trained on another dataset ({dataset.root}, {dataset.fingerprint[:12]}) than "
            f"{info.root} ({info.fingerprint[:12]}): it may have seen what is held out here; train it on this one"
        )
    return manifest
