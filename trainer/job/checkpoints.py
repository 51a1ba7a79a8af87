"""Checkpoints: the state of a fit after a pass, from which a killed training continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from artifacts import factor_tables, storage
from artifacts.checksums import digest_of
from artifacts.manifests import SweepRecord
from artifacts.paths import join, shard_name
from configs.errors import UserError
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization

_KEPT = 2  # the newest may be unreadable if a disk was full
_STATE = "state.json"


class DamagedError(Exception):
    """A checkpoint that differs from what was written; the message names the file."""


class CheckpointState(BaseModel):
    """The file `state.json`, which is written last."""

    model_config = ConfigDict(extra="forbid")

    identity: dict[str, Any]  # what must be the same to continue
    rotation: int  # CRC-32C of rotation.npy
    rows: list[int]  # CRC-32C of each process's part
    cols: list[int]
    history: list[SweepRecord]
    digest: str = ""  # of everything else in the file

    @classmethod
    def read(cls, directory: str) -> CheckpointState:
        """Read the state of a checkpoint; raise DamagedError if it cannot be read, or differs from what was written."""
        path = join(directory, _STATE)
        try:
            state = cls.model_validate_json(storage.read_bytes(path))
        except (ValueError, OSError) as error:
            raise DamagedError(f"{path} is damaged") from error
        if state.digest != state._digest():
            raise DamagedError(f"{path} is damaged: its digest does not match")
        return state

    def write(self, directory: str) -> None:
        """Write the state, which makes the checkpoint a finished one."""
        sealed = self.model_copy(update={"digest": self._digest()})
        storage.write_bytes(join(directory, _STATE), json.dumps(sealed.model_dump(mode="json"), indent=2).encode())

    def _digest(self) -> str:
        return digest_of(self.model_dump(mode="json", exclude={"digest"}))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one fit."""

    root: str  # with a subdirectory for each pass
    identity: dict[str, Any]  # what must be the same to continue: settings, dataset, shapes

    def save(self, state: Factorization) -> None:
        """Write the state: each process its part, then the first process `state.json`."""
        cluster, sweeps = state.cluster, len(state.history)
        directory, checksums = self._directory(sweeps), np.zeros((cluster.size, 2))
        for column, (name, side) in enumerate((("rows", state.rows), ("cols", state.cols))):
            path = shard_name(join(directory, name), cluster.rank, cluster.size, ".npy")
            checksums[cluster.rank, column] = factor_tables.write_array(path, side.table)
        checksums = cluster.sum(checksums).astype(int)  # after this, all parts are written
        if cluster.rank == 0:
            CheckpointState(
                identity=self.identity,
                rotation=factor_tables.write_array(join(directory, "rotation.npy"), state.rotation),
                rows=checksums[:, 0].tolist(),
                cols=checksums[:, 1].tolist(),
                history=state.history,
            ).write(directory)
            for old in self._saved()[:-_KEPT]:
                storage.remove(self._directory(old))

    def restore(self, state: Factorization, say: Callable[[str], None] = print) -> int:
        """Restore the newest checkpoint; return the number of its sweeps, 0 if there is none.

        A damaged checkpoint is named by `say`, and the one before it is restored. Raise UserError if all are damaged,
        or if the checkpoint belongs to another dataset, other settings or other shapes; it is then left alone.
        """
        saved = self._saved()
        for sweeps in reversed(saved):
            try:
                self._restore(self._directory(sweeps), state)
            except DamagedError as error:
                say(f"checkpoint {error}")
            else:
                return sweeps
        if saved:
            raise UserError(f"no checkpoint in {self.root} can be read; pass --replace to start over")
        return 0

    def matches(self) -> bool:
        """Return whether the newest readable checkpoint is one of this fit."""
        for sweeps in reversed(self._saved()):
            try:
                return CheckpointState.read(self._directory(sweeps)).identity == self.identity
            except DamagedError:
                continue
        return False

    def _restore(self, directory: str, state: Factorization) -> None:
        saved = CheckpointState.read(directory)
        self._check(directory, saved.identity)
        for name, checksums, side in (("rows", saved.rows, state.rows), ("cols", saved.cols, state.cols)):
            _read_part(join(directory, name), checksums, state.cluster, side.table)
        state.rotation = _read_array(join(directory, "rotation.npy"), saved.rotation)
        state.history = saved.history

    def _check(self, directory: str, identity: dict[str, Any]) -> None:
        """Raise UserError if a checkpoint is one of another fit."""
        for name in sorted(self.identity.keys() | identity.keys()):
            before, now = identity.get(name), self.identity.get(name)
            if before != now:
                raise UserError(
                    f"{directory} was made with another {name} ({before}, now {now}); "
                    "pass --replace to start over, or name another model directory"
                )

    def _directory(self, sweeps: int) -> str:
        return join(self.root, f"sweep-{sweeps:05d}")

    def _saved(self) -> list[int]:
        """Return the sweeps of all checkpoints, ascending."""
        paths = (file.path for file in storage.glob(join(self.root, "sweep-?????", _STATE)))
        return sorted(int(path.rsplit("sweep-", 1)[1][:5]) for path in paths)


def _read_part(prefix: str, checksums: list[int], cluster: Cluster, table: np.ndarray) -> None:
    """Read the rows i with i % size == rank, from any number of shards."""
    processes = len(checksums)
    for shard, checksum in enumerate(checksums):
        path = shard_name(prefix, shard, processes, ".npy")
        part = _read_array(path, checksum)
        indices = shard + processes * np.arange(len(part))
        own = indices % cluster.size == cluster.rank
        if part.shape[1] != table.shape[1] or (len(part) and indices[-1] // cluster.size > len(table)):
            raise UserError(f"{path} has another shape; pass --replace to start over")
        table[indices[own] // cluster.size] = part[own]


def _read_array(path: str, checksum: int) -> np.ndarray:
    try:
        return factor_tables.read_array(path, checksum)
    except UserError as error:
        raise DamagedError(str(error)) from error
