"""Several worker processes that factorise together, by TensorFlow's collectives on TF_CONFIG.

TF_CONFIG is what Vertex AI's custom training sets, and anyone may set by hand:

    {"cluster": {"chief": ["host:port"], "worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}

MultiWorkerMirroredStrategy connects the processes and notices when one is gone. What they exchange is small beside the
data: Gramians and sums are added up; of the fixed side each process asks the owners for the rows that its next batch
needs (ALX's sharded tables, arXiv 2112.02194), so that none ever holds a whole table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from configs.errors import UserError
from ranking.sparse_rows import SparseRows
from trainer.als.collectives import Alone, Cluster
from trainer.als.wals import Basis

_GROUP = 7  # all processes; the strategy's own groups count from 1 elsewhere
_GATHERED = 1 << 24  # floats of the fixed side that a process gathers for a batch: 64 MB
# How TensorFlow says that a member of a collective has gone.
_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def from_environment() -> Cluster:
    """The workers that TF_CONFIG names, or a single process where it names one or none.

    Raises:
        UserError: TF_CONFIG is wrong, or the other workers cannot be reached.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return Alone()
    rank, size = _place(text)
    return Alone() if size == 1 else Workers(rank, size)


def _place(text: str) -> tuple[int, int]:
    """This process's rank and how many there are; the chief is the first."""
    try:
        config = json.loads(text)
        cluster = config.get("cluster") or {}
        names = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))]
        task = config.get("task") or {}
        own = task.get("type"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"TF_CONFIG is not as TensorFlow has it ({error})") from error
    if len(names) < 2:
        return 0, 1
    if own not in names:
        raise UserError(f"TF_CONFIG: task {own[0]} {own[1]} is none of the cluster's chief and workers")
    return names.index(own), len(names)


class Workers:
    """See `trainer.als.collectives.Cluster`. All processes must make it at the same time."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        try:
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, RuntimeError) as error:
            raise UserError(f"the other workers of TF_CONFIG cannot be reached ({_short(error)})") from error
        self._calls = 0
        # The runtime orders the members by their devices' names.
        self._order = self._collective(tf.raw_ops.CollectiveGatherV2, np.array([rank])).tolist()

    def _collective(self, operation: Callable, array: np.ndarray, **options: Any) -> np.ndarray:
        self._calls += 1  # a key has one shape
        try:
            with tf.device("CPU:0"):
                return operation(
                    input=tf.constant(array),
                    group_size=self.size,
                    group_key=_GROUP,
                    instance_key=self._calls,
                    ordering_token=[],
                    **options,
                ).numpy()
        except tf.errors.OpError as error:
            if not isinstance(error, _GONE) and "aborted" not in error.message:
                raise
            raise UserError(
                f"another worker is gone ({_short(error)}); its log says why. Start all again: they go on from the "
                "last checkpoint"
            ) from error

    def sum(self, array: np.ndarray) -> np.ndarray:
        return self._collective(
            tf.raw_ops.CollectiveReduceV2, np.asarray(array, np.float64), merge_op="Add", final_op="Id"
        )

    def _greatest(self, number: int) -> int:
        return int(
            self._collective(tf.raw_ops.CollectiveReduceV2, np.array([int(number)]), merge_op="Max", final_op="Id")[0]
        )

    def same(self, basis: Basis) -> Basis:
        parts = (basis.vectors, basis.eigenvalues)
        return Basis(*(self.sum(part if self.rank == 0 else np.zeros_like(part)) for part in parts))

    def batch_entries(self, k: int) -> int:
        return max(1024, _GATHERED // k)

    def together(self, blocks: Iterable[SparseRows]) -> Iterator[SparseRows]:
        own = iter(blocks)
        nothing = SparseRows(
            np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        )
        while True:
            block = next(own, None)
            if not self._greatest(block is not None):
                return
            yield nothing if block is None else block

    def gather(
        self, block: SparseRows, table: np.ndarray, weights: np.ndarray
    ) -> tuple[SparseRows, np.ndarray, np.ndarray]:
        renumbered, needed = _renumbered(block)
        owner = needed % self.size
        places = [np.flatnonzero(owner == self._order[member]) for member in range(self.size)]
        width = self._greatest(max(len(place) for place in places))
        asked = np.zeros((self.size, width), np.int64)
        for member, place in enumerate(places):
            asked[member, : len(place)] = needed[place] // self.size
        asked = self._collective(tf.raw_ops.CollectiveAllToAllV2, asked)
        answer = np.zeros((self.size, width, table.shape[1] + 1), np.float32)
        if len(table):
            answer[:, :, :-1], answer[:, :, -1] = table[asked], weights[asked]
        answer = self._collective(tf.raw_ops.CollectiveAllToAllV2, answer)
        found = np.empty((len(needed), table.shape[1] + 1), np.float32)
        for member, place in enumerate(places):
            found[place] = answer[member, : len(place)]
        return renumbered, np.ascontiguousarray(found[:, :-1]), np.ascontiguousarray(found[:, -1])

    def whole(self, own: np.ndarray, size: int) -> np.ndarray:
        most = -(-size // self.size)
        padded = np.zeros((1, most, *own.shape[1:]), own.dtype)
        padded[0, : len(own)] = own
        parts = self._collective(tf.raw_ops.CollectiveGatherV2, padded)
        whole = np.empty((size, *own.shape[1:]), own.dtype)
        for member, rank in enumerate(self._order):
            whole[rank :: self.size] = parts[member, : len(range(rank, size, self.size))]
        return whole

    def agree(self, action: Callable[[], Any]) -> Any:
        error: BaseException | None = None
        result = None
        try:
            result = action()
        except Exception as problem:
            error = problem
        failed = int(self.sum(np.array([error is not None]))[0])
        if error is not None:
            raise error
        if failed:
            raise UserError(f"{failed} of the {self.size} workers failed; their logs say why")
        return result


def _renumbered(block: SparseRows) -> tuple[SparseRows, np.ndarray]:
    """The block with its columns counted from 0, and which columns these are; kept with the block."""
    if "_gathered" not in block.__dict__:
        needed, places = np.unique(block.indices, return_inverse=True)
        block.__dict__["_gathered"] = replace(block, indices=places.astype(np.int32)), needed.astype(np.int64)
    return block.__dict__["_gathered"]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
