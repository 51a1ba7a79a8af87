"""Checkpoints: the state of a fit after a pass, to go on from after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artifacts import factor_tables, storage
from artifacts.checksums import digest_of
from artifacts.paths import join, shard_name
from configs.errors import UserError
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, Sweep

_KEPT = 2  # the newest may be unreadable where a disk filled up


class DamagedError(Exception):
    """A checkpoint that is not as it was written; the message names the file."""


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
        place, checksums = self._place(sweeps), np.zeros((cluster.size, 2))
        for column, (name, side) in enumerate((("rows", state.rows), ("cols", state.cols))):
            path = shard_name(join(place, name), cluster.rank, cluster.size, ".npy")
            checksums[cluster.rank, column] = factor_tables.write_array(path, side.table)
        checksums = cluster.sum(checksums).astype(int)  # of all parts, which are there now
        if cluster.rank == 0:
            content = {
                "identity": self.identity,
                "processes": cluster.size,
                "rotation": factor_tables.write_array(join(place, "rotation.npy"), state.rotation),
                "rows": checksums[:, 0].tolist(),
                "cols": checksums[:, 1].tolist(),
                "history": [asdict(sweep) for sweep in state.history],
            }
            state_json = json.dumps(content | {"digest": digest_of(content)}, indent=2)
            storage.write_bytes(join(place, "state.json"), state_json.encode())
            for old in self._found()[:-_KEPT]:
                storage.remove(self._place(old))

    def restore(self, state: Factorization, say: Callable[[str], None] = print) -> int:
        """Puts the newest checkpoint into the state; gives the number of its sweeps, 0 where there is none.

        One that is damaged is named by `say`, and the one before it is taken.

        Raises:
            UserError: it belongs to another dataset, other settings or other shapes: refused, not overwritten; or all
                are damaged.
        """
        found = self._found()
        for sweeps in reversed(found):
            try:
                self._restore(self._place(sweeps), state)
            except DamagedError as error:
                say(f"checkpoint {error}")
            else:
                return sweeps
        if found:
            raise UserError(f"no checkpoint in {self.root} can be read; pass --replace to start over")
        return 0

    def _restore(self, place: str, state: Factorization) -> None:
        content = _read_state(place)
        self._check(place, content["identity"])
        for name, side in (("rows", state.rows), ("cols", state.cols)):
            self._read_part(join(place, name), content[name], state.cluster, side.table)
        state.rotation = _read_array(join(place, "rotation.npy"), content["rotation"])
        state.history = [Sweep(**sweep) for sweep in content["history"]]

    def matches(self) -> bool:
        """Whether the newest checkpoint that can be read is one of this very fit."""
        for sweeps in reversed(self._found()):
            try:
                return _read_state(self._place(sweeps))["identity"] == self.identity
            except DamagedError:
                continue
        return False

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

    def _read_part(self, prefix: str, checksums: list[int], cluster: Cluster, table: np.ndarray) -> None:
        """Rows i with i % size == rank, from shards of any number."""
        processes = len(checksums)
        for shard, checksum in enumerate(checksums):
            path = shard_name(prefix, shard, processes, ".npy")
            part = _read_array(path, checksum)
            indices = shard + processes * np.arange(len(part))
            own = indices % cluster.size == cluster.rank
            if part.shape[1] != table.shape[1] or (len(part) and indices[-1] // cluster.size > len(table)):
                raise UserError(f"{path} has another shape; pass --replace to start over")
            table[indices[own] // cluster.size] = part[own]

    def _place(self, sweeps: int) -> str:
        return join(self.root, f"sweep-{sweeps:05d}")

    def _found(self) -> list[int]:
        pattern = join(self.root, "sweep-?????", "state.json")
        found = (file.path for file in storage.glob(pattern))
        return sorted(int(path.rsplit("sweep-", 1)[1][:5]) for path in found)


def _read_state(place: str) -> dict[str, Any]:
    path = join(place, "state.json")
    try:
        content = json.loads(storage.read_bytes(path))
        digest = content.pop("digest")
    except (ValueError, KeyError, AttributeError, OSError) as error:
        raise DamagedError(f"{path} is damaged") from error
    if digest != digest_of(content):
        raise DamagedError(f"{path} is damaged: its digest does not fit")
    return content


def _read_array(path: str, checksum: int) -> np.ndarray:
    try:
        return factor_tables.read_array(path, checksum)
    except UserError as error:
        raise DamagedError(str(error)) from error
