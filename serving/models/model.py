"""One version of a model in memory: its signatures, and what TensorFlow Serving says of them."""

from __future__ import annotations

import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import join
from serving.errors import Refusal, UnusableError
from serving.models import versions

DEFAULT_SIGNATURE = "serving_default"
_GONE: deque[tf.Tensor] = deque()  # handles of tables whose model is gone
_NEEDED = (DEFAULT_SIGNATURE, "recommend", "history", "similar_items", "explanation")  # what the page asks


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a signature; `shape` is None where the rank is free, -1 where a dimension is."""

    name: str
    dtype: tf.DType
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """What a signature takes and gives, by name."""

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Model:
    """A loaded version. `run` may be called by several threads at once."""

    def __init__(self, number: int, path: str):
        """Loads and warms it.

        Raises:
            UnusableError: it is not whole, or no model that this server knows to serve.
        """
        started = time.monotonic()
        self.number, self.path = number, path
        self.manifest = versions.check(path)
        try:
            self._loaded = tf.saved_model.load(path)
            weakref.finalize(self, _GONE.extend, _tables(self._loaded)).atexit = False
            self._definitions = _definitions(path)
        except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise UnusableError(f"TensorFlow cannot load it ({_line(error)}); is it half copied?") from error
        self.signatures = {name: _signature(name, definition) for name, definition in self._definitions.items()}
        for name in _NEEDED:
            if name not in self.signatures:
                raise UnusableError(f"it has no signature {name}; train it again")
        self._check_vocabularies()
        self._warm()
        self.examples: list[bytes] = []  # visitors that the page offers
        self.seconds = time.monotonic() - started

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers of a signature, as arrays by name.

        Raises:
            Refusal: the graph refuses these inputs.
        """
        try:
            found = self._loaded.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        except (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError) as error:
            raise Refusal(400, _reason(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise Refusal(503, "not enough memory for this request; ask for less at once") from error
        return {name: tensor.numpy() for name, tensor in found.items()}

    def metadata(self, name: str) -> dict[str, Any]:
        """What TensorFlow Serving's metadata address gives."""
        defined = {
            key: json_format.MessageToDict(
                value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for key, value in sorted(self._definitions.items())
        }
        for definition in defined.values():
            definition.pop("defaults", None)
            for tensors in (definition["inputs"], definition["outputs"]):
                for tensor in tensors.values():
                    tensor.setdefault("tensor_shape", {"dim": [], "unknown_rank": False})
        spec = {"name": name, "signature_name": "", "version": str(self.number)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": defined}}}

    def asset(self, name: str) -> str:
        """Path of one of the model's assets."""
        return join(self.path, "assets", name)

    def count(self, table: str) -> int | None:
        """Rows of one of the model's tables, `users` or `items`; None for a model that has no such table."""
        found = getattr(self._loaded, "variables_by_name", {})
        return int(found[table].shape[0]) if table in found else None

    def sample(self, most: int) -> list[bytes]:
        """Some visitors, the same each time."""
        path, found = self.asset(VOCAB_USERS), []
        size = tf.io.gfile.stat(path).length
        with tf.io.gfile.GFile(path, "rb") as file:
            for start in range(0, size, max(1, size // max(1, most))):
                file.seek(start)
                if start:
                    file.readline()  # the rest of the line before
                if line := file.readline().removesuffix(b"\n"):
                    found.append(line)
        return list(dict.fromkeys(found))[:most]

    def _check_vocabularies(self) -> None:
        for vocabulary, table in ((VOCAB_USERS, "users"), (VOCAB_ITEMS, "items")):
            expected = self.count(table)
            if expected is None:
                continue
            lines = 0
            with tf.io.gfile.GFile(self.asset(vocabulary), "rb") as file:
                while piece := file.read(1 << 22):
                    lines += piece.count(b"\n")
            if lines != expected:
                raise UnusableError(f"its {vocabulary} has {lines} ids, the model {expected}; is it half copied?")

    def _warm(self) -> None:
        """Asks each signature once: the first time, TensorFlow optimises its graph."""
        for signature in self.signatures.values():
            self.run(signature.name, {name: _blank(tensor, 1) for name, tensor in signature.inputs.items()})


def _tables(loaded: Any) -> list[tf.Tensor]:
    """Handles of a model's lookup tables."""
    parts = tf.train.TrackableView(loaded).descendants()
    return [part.resource_handle for part in parts if hasattr(part, "resource_handle")]


def free_tables() -> None:
    """Gives back the lookup tables of models that are gone, which TensorFlow keeps: 110 bytes a visitor and version.

    A finalizer may come while a graph is built, of which the op would become a part; hence it only leaves them here.
    """
    while _GONE:
        tf.raw_ops.DestroyResourceOp(resource=_GONE.popleft(), ignore_lookup_error=True)


def _definitions(path: str) -> dict[str, Any]:
    """Signature definitions by name, without the marker that an object graph has instead of one."""
    with tf.io.gfile.GFile(join(path, versions.GRAPH), "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read())
    found = graph.meta_graphs[0].signature_def
    return {name: found[name] for name in sorted(found) if not name.startswith("__")}


def _signature(name: str, definition: Any) -> Signature:
    def tensors(found: Any) -> dict[str, Tensor]:
        return {key: _tensor(key, found[key]) for key in sorted(found)}

    return Signature(name, tensors(definition.inputs), tensors(definition.outputs))


def _tensor(name: str, info: Any) -> Tensor:
    free = info.tensor_shape.unknown_rank
    shape = None if free else tuple(dimension.size for dimension in info.tensor_shape.dim)
    return Tensor(name, tf.dtypes.as_dtype(info.dtype), shape)


def _blank(tensor: Tensor, rows: int) -> np.ndarray:
    if tensor.shape is None:  # k
        return np.ones((), tensor.dtype.as_numpy_dtype)
    sizes = [rows, *(max(size, 1) for size in tensor.shape[1:])] if tensor.shape else []
    if tensor.dtype == tf.string:
        return np.full(sizes, b"", object)
    return np.zeros(sizes, tensor.dtype.as_numpy_dtype)


def _reason(error: tf.errors.OpError) -> str:
    """The reason that an assertion in the graph gives, else what TensorFlow says."""
    _, found, rest = error.message.partition("assertion failed: [")
    return rest.partition("]")[0] if found else _line(error)


def _line(error: Exception) -> str:
    """What is wrong, without the node and the stack that TensorFlow writes around it."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in text.partition("[[")[0].split("\n") if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
