"""Checkpoints: the state of a fit after a pass, to go on from after a kill."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from configs.artifacts import join, shard_name
from configs.errors import UserError
from trainer import storage
from trainer.cluster import Cluster
from trainer.train import Factorization, Sweep

_KEPT = 2  # the newest may be unreadable where a disk filled up


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one fit.

    Attributes:
        root: directory; one below it for each pass.
        identity: what must be the same to go on: settings, dataset, shapes. JSON.
    """

    root: str
    identity: dict[str, Any]

    def save(self, state: Factorization) -> None:
        """Writes the state; each process its own part, the first one then says that it is whole."""
        cluster, sweeps = state.cluster, len(state.history)
        place = self._place(sweeps)
        for name, side in (("rows", state.rows), ("cols", state.cols)):
            storage.write_array(shard_name(join(place, name), cluster.rank, cluster.size, ".npy"), side.table)
        cluster.sum(np.zeros(1))  # all parts are there
        if cluster.rank == 0:
            storage.write_array(join(place, "rotation.npy"), state.rotation)
            history = [asdict(sweep) for sweep in state.history]
            content = {"identity": self.identity, "processes": cluster.size, "history": history}
            storage.write_json(join(place, "state.json"), content)
            for old in self._found()[:-_KEPT]:
                storage.remove(self._place(old))

    def restore(self, state: Factorization) -> int:
        """Puts the newest checkpoint into the state; gives the number of its sweeps, 0 where there is none.

        Raises:
            UserError: it belongs to another dataset, other settings or other shapes: refused, not overwritten.
        """
        found = self._found()
        if not found:
            return 0
        place = self._place(found[-1])
        content = json.loads(storage.read_bytes(join(place, "state.json")))
        self._check(place, content["identity"])
        for name, side in (("rows", state.rows), ("cols", state.cols)):
            self._read_part(join(place, name), content["processes"], state.cluster, side.table)
        state.rotation = storage.read_array(join(place, "rotation.npy"))
        state.history = [Sweep(**sweep) for sweep in content["history"]]
        return found[-1]

    def matches(self) -> bool:
        """Whether the newest checkpoint is one of this very fit."""
        found = self._found()
        if not found:
            return False
        content = json.loads(storage.read_bytes(join(self._place(found[-1]), "state.json")))
        return content["identity"] == self.identity

    def _check(self, place: str, identity: dict[str, Any]) -> None:
        other = sorted(
            name for name in self.identity.keys() | identity.keys() if identity.get(name) != self.identity.get(name)
        )
        if other:
            name = other[0]
            raise UserError(
                f"{place} was made with another {name} ({identity.get(name)}, now {self.identity.get(name)}); "
                "pass --replace to start over, or name another model directory"
            )

    def _read_part(self, prefix: str, processes: int, cluster: Cluster, table: np.ndarray) -> None:
        """Rows i with i % size == rank, from shards of any number."""
        for shard in range(processes):
            path = shard_name(prefix, shard, processes, ".npy")
            part = storage.read_array(path)
            indices = shard + processes * np.arange(len(part))
            own = indices % cluster.size == cluster.rank
            if part.shape[1] != table.shape[1] or (len(part) and indices[-1] // cluster.size > len(table)):
                raise UserError(f"{path} has another shape; pass --replace to start over")
            table[indices[own] // cluster.size] = part[own]

    def _place(self, sweeps: int) -> str:
        return join(self.root, f"sweep-{sweeps:05d}")

    def _found(self) -> list[int]:
        pattern = join(self.root, "sweep-?????", "state.json")
        return sorted(int(path.rsplit("sweep-", 1)[1][:5]) for path in tf.io.gfile.glob(pattern))
