"""Several worker processes that factorise together, by TensorFlow's collectives on TF_CONFIG.

TF_CONFIG is set by Vertex AI's custom training, or by hand:

    {"cluster": {"chief": ["host:port"], "worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}

MultiWorkerMirroredStrategy connects the processes and detects a lost one. They exchange little compared with the data:
Gramians and sums are added up, and each process asks the owners of the fixed side for the rows that its next batch
needs (ALX's sharded tables, arXiv 2112.02194), so that no process ever has a whole table in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from configs.errors import UserError
from trainer.als.collectives import Cluster

_T = TypeVar("_T")
_GROUP = 7  # all processes; the strategy's own groups count from 1 elsewhere
# How TensorFlow reports that a member of a collective is lost.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def from_environment(gathered_floats: int = 1 << 24) -> Cluster:
    """Return the workers that TF_CONFIG names, or a single process if it names one or is unset.

    gathered_floats: of the fixed side that a process gathers for a batch; by default 64 MB. Raise UserError if
    TF_CONFIG is wrong, or the other workers cannot be reached.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return Cluster()
    rank, size = _rank_and_size(text)
    return Cluster() if size == 1 else Workers(rank, size, gathered_floats)


def _rank_and_size(text: str) -> tuple[int, int]:
    """Return this process's rank and the number of processes; the chief is the first."""
    try:
        config = json.loads(text)
        cluster = config.get("cluster") or {}
        names = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))]
        task = config.get("task") or {}
        own = task.get("type"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"TF_CONFIG is not in TensorFlow's format ({error}); see docs/scaling.md") from error
    if len(names) < 2:
        return 0, 1
    if own not in names:
        raise UserError(f"TF_CONFIG: task {own[0]} {own[1]} is not in the cluster; name one of its tasks")
    return names.index(own), len(names)


class Workers(Cluster):
    """Several processes; see `Cluster` for the methods. All processes must create it at the same time."""

    def __init__(self, rank: int, size: int, gathered_floats: int):
        self.rank, self.size, self._gathered_floats = rank, size, gathered_floats
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
            if not isinstance(error, _LOST) and "aborted" not in error.message:
                raise
            raise UserError(
                f"another worker stopped ({_short(error)}); see its log, and start all workers again: "
                "they continue from the last checkpoint"
            ) from error

    def sum(self, array: np.ndarray) -> np.ndarray:
        return self._collective(
            tf.raw_ops.CollectiveReduceV2, np.asarray(array, np.float64), merge_op="Add", final_op="Id"
        )

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        return self.sum(array if self.rank == 0 else np.zeros_like(array))

    def all_gather(self, own: np.ndarray, size: int) -> np.ndarray:
        most = -(-size // self.size)
        padded = np.zeros((1, most, *own.shape[1:]), own.dtype)
        padded[0, : len(own)] = own
        parts = self._collective(tf.raw_ops.CollectiveGatherV2, padded)
        gathered = np.empty((size, *own.shape[1:]), own.dtype)
        for member, rank in enumerate(self._order):
            gathered[rank :: self.size] = parts[member, : len(range(rank, size, self.size))]
        return gathered

    def batch_entries(self, k: int) -> int:
        return max(1, self._gathered_floats // k)

    def together(self, batches: Iterable[_T], empty: _T) -> Iterator[_T]:
        iterator = iter(batches)
        while True:
            batch = next(iterator, None)
            if not self._greatest(batch is not None):
                return
            yield empty if batch is None else batch

    def gather(
        self, columns: np.ndarray | None, table: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if columns is None:
            raise ValueError("several processes gather by columns; a whole table is in none of them")
        owner = columns % self.size
        places = [np.flatnonzero(owner == self._order[member]) for member in range(self.size)]
        width = self._greatest(max(len(place) for place in places))
        asked = np.zeros((self.size, width), np.int64)
        for member, place in enumerate(places):
            asked[member, : len(place)] = columns[place] // self.size
        asked = self._collective(tf.raw_ops.CollectiveAllToAllV2, asked)
        answer = np.zeros((self.size, width, table.shape[1] + 1), np.float32)
        if len(table):
            answer[:, :, :-1], answer[:, :, -1] = table[asked], weights[asked]
        answer = self._collective(tf.raw_ops.CollectiveAllToAllV2, answer)
        gathered = np.empty((len(columns), table.shape[1] + 1), np.float32)
        for member, place in enumerate(places):
            gathered[place] = answer[member, : len(place)]
        return np.ascontiguousarray(gathered[:, :-1]), np.ascontiguousarray(gathered[:, -1])

    def _greatest(self, number: int) -> int:
        """Return the greatest of all processes' numbers."""
        array = np.array([int(number)])
        return int(self._collective(tf.raw_ops.CollectiveReduceV2, array, merge_op="Max", final_op="Id")[0])

    def agree(self, action: Callable[[], _T]) -> _T:
        try:
            result = action()
        except Exception:
            self.sum(np.array([1]))
            raise
        failed = int(self.sum(np.array([0]))[0])
        if failed:
            raise UserError(f"{failed} of the {self.size} workers failed; see their logs")
        return result


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
