"""A version's answers by its graph, in TensorFlow: of SavedModels that have no tables."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from artifacts import storage
from artifacts.paths import join
from artifacts.served.signatures import described
from serving.errors import Refusal, UnusableError
from serving.models import versions
from serving.models.signatures import DEFAULT_SIGNATURE, WITH_ITEMS, Arrays, WithItems
from serving.rules.limits import LIMITED, Limited

_NO_TABLES = "this version has no tables, by which rules are applied; ask without rules, or train it again"


class Graph:
    """A loaded SavedModel. Several threads may call `run` at once."""

    def __init__(self, path: str, released: deque[Callable[[], None]]):
        """Load it; raise UnusableError if TensorFlow cannot. released: gets what frees it, once it is collected."""
        try:
            self._loaded = tf.saved_model.load(path)
            handles = _table_handles(self._loaded)
            weakref.finalize(self, released.extend, [partial(_free, handle) for handle in handles]).atexit = False
            graph = saved_model_pb2.SavedModel.FromString(storage.read_bytes(join(path, versions.GRAPH)))
            self.described = described(graph.meta_graphs[0].signature_def)
        except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise UnusableError(f"TensorFlow cannot load it ({_summary(error)}); copy the version again") from error

    def run(
        self, signature: str, inputs: Arrays, added: WithItems | None = None, limited: Limited | None = None
    ) -> Arrays:
        """Return a signature's outputs; raise Refusal if the graph refuses the inputs or memory is short (503)."""
        if limited and signature.startswith(LIMITED):
            raise Refusal(422, _NO_TABLES)
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        extended = f"{'recommend' if signature == DEFAULT_SIGNATURE else signature}{WITH_ITEMS}"
        if added and extended in self.described:
            ids = tf.constant(added.ids, tf.string)
            signature, tensors = extended, tensors | {"newContentIds": ids, "newFactors": tf.constant(added.factors)}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
        except (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError) as error:
            raise Refusal(400, _assertion(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise Refusal(503, "not enough memory for this request; send fewer rows") from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def may_be(self, ids: list[bytes], added: WithItems | None, limited: Limited) -> np.ndarray:
        """Refuse to apply limits."""
        raise Refusal(422, _NO_TABLES)

    def count(self, table: str) -> int | None:
        """Return the number of rows of the table `users` or `items`, or None if the model has no such table."""
        variable = getattr(self._loaded, table, None)
        return None if variable is None else int(variable.shape[0])

    def reads(self, signature: str) -> float:
        """Return infinity: how long a graph runs is not known."""
        return math.inf

    def to_warm_up(self) -> list[str]:
        """Return the signatures to run once: TensorFlow optimises a graph when it first runs."""
        return list(self.described)


def _free(handle: tf.Tensor) -> None:
    """Free a lookup table of a collected model, which TensorFlow keeps: 110 bytes per visitor and version."""
    tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def _table_handles(loaded: Any) -> list[tf.Tensor]:
    parts = tf.train.TrackableView(loaded).descendants()
    return [part.resource_handle for part in parts if hasattr(part, "resource_handle")]


def _assertion(error: tf.errors.OpError) -> str:
    """Return the message of a failed assertion in the graph, else TensorFlow's own message."""
    _, separator, rest = error.message.partition("assertion failed: [")
    return rest.partition("]")[0] if separator else _summary(error)


def _summary(error: Exception) -> str:
    """Return an error's message without the node and the stack that TensorFlow adds."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in text.partition("[[")[0].split("\n") if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
