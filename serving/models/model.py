"""One version of a model in memory, with its signatures and metadata."""

from __future__ import annotations

import json
import os
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from artifacts import catalogue, storage
from artifacts.catalogue import Catalogue
from artifacts.features.fields import Field
from artifacts.names import SERVED_ATTRIBUTES, SERVED_ITEMS, VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import join
from configs.errors import UserError
from serving.errors import Refusal, UnusableError
from serving.models import versions

DEFAULT_SIGNATURE = "serving_default"
K = "k"  # the input that bounds the length of an answer
REQUIRED_SIGNATURES = (DEFAULT_SIGNATURE, "recommend", "history", "audience", "similar_items", "explanation")
_WITH_ITEMS = "_with_items"  # end of the name of a signature that takes added items too
_released_tables: deque[tf.Tensor] = deque()  # handles of lookup tables whose model was garbage-collected

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a signature."""

    name: str
    dtype: tf.DType
    shape: tuple[int, ...] | None  # None if the rank is free; a dimension is -1 if its size is free

    def blank(self) -> np.ndarray:
        """Return an array of one row that the signature accepts: empty ids, zeros, or 1 for k."""
        if self.shape is None:  # k
            return np.ones((), self.dtype.as_numpy_dtype)
        sizes = [max(size, 1) for size in self.shape]
        return np.full(sizes, b"", object) if self.dtype == tf.string else np.zeros(sizes, self.dtype.as_numpy_dtype)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature, by name."""

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True)
class Call:
    """A call of a signature: its inputs by name, and their number of rows."""

    signature: str
    inputs: Arrays
    rows: int


@dataclass(frozen=True)
class WithItems:
    """Items that were added after the training of a version, e of them."""

    ids: tf.Tensor  # string [e]
    factors: tf.Tensor  # float32 [e, d]
    titles: Catalogue
    count: int  # e


class Model:
    """A loaded version. Several threads may call `run` at once."""

    def __init__(self, number: int, path: str):
        """Load a version, check it and warm it up; raise UnusableError if this server cannot serve it."""
        started = time.monotonic()
        self.number, self.path = number, path
        versions.check(path)
        try:
            self._loaded = tf.saved_model.load(path)
            weakref.finalize(self, _released_tables.extend, _table_handles(self._loaded)).atexit = False
            self._definitions = _read_definitions(path)
        except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise UnusableError(f"TensorFlow cannot load it ({_summary(error)}); copy the version again") from error
        self.signatures = {
            name: Signature(name, _tensors(definition.inputs), _tensors(definition.outputs))
            for name, definition in self._definitions.items()
            if not name.endswith(_WITH_ITEMS)  # run in place of the others, see `added`
        }
        self.added: WithItems | None = None  # in the answers of all signatures about items
        self.added_stamp: object = None  # the state of the file that they are from
        for name in REQUIRED_SIGNATURES:
            if name not in self.signatures:
                raise UnusableError(f"it has no signature {name}; train the model again")
        self._check_vocabularies()
        self._warm_up()
        self.titles, self.attributes = self._read_titles(), self._read_attributes()
        self.examples: list[bytes] = []  # visitors that the page offers
        self.seconds = time.monotonic() - started

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Return a signature's outputs; raise Refusal if the graph refuses the inputs or memory is short (503)."""
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        if (added := self.added) and (extended := self._extended(signature)):
            signature, tensors = extended, tensors | {"newContentIds": added.ids, "newFactors": added.factors}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
        except (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError) as error:
            raise Refusal(400, _assertion(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise Refusal(503, "not enough memory for this request; send fewer rows") from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def title_of(self, item: str) -> tuple[str, str] | None:
        """Return title and category of an item, if it has one of them."""
        return self.titles.get(item) or (self.added.titles.get(item) if self.added else None)

    def _extended(self, signature: str) -> str | None:
        name = f"{'recommend' if signature == DEFAULT_SIGNATURE else signature}{_WITH_ITEMS}"
        return name if name in self._definitions else None

    def metadata(self, name: str) -> dict[str, Any]:
        """Return the answer of TensorFlow Serving's metadata address."""
        definitions = {
            key: json_format.MessageToDict(
                value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for key, value in sorted(self._definitions.items())
        }
        for definition in definitions.values():
            definition.pop("defaults", None)
            for tensors in (definition["inputs"], definition["outputs"]):
                for tensor in tensors.values():
                    tensor.setdefault("tensor_shape", {"dim": [], "unknown_rank": False})
        spec = {"name": name, "signature_name": "", "version": str(self.number)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": definitions}}}

    def count(self, table: str) -> int | None:
        """Return the number of rows of the table `users` or `items`, or None if the model has no such table."""
        variable = getattr(self._loaded, table, None)
        return None if variable is None else int(variable.shape[0])

    def sample_visitors(self, most: int) -> list[bytes]:
        """Return up to `most` visitorIds of the vocabulary, the same ones each time."""
        visitors = []
        with storage.open_to_read(self._asset(VOCAB_USERS)) as file:
            size = file.seek(0, os.SEEK_END)
            for start in range(0, size, max(1, size // max(1, most))):
                file.seek(start)
                if start:
                    file.readline()  # the rest of the line before
                if line := file.readline().removesuffix(b"\n"):
                    visitors.append(line)
        return list(dict.fromkeys(visitors))[:most]

    def _read_titles(self) -> Catalogue:
        """Return the titles and categories that came with the version; none of an older trainer's."""
        path = join(self.path, SERVED_ITEMS)
        if not storage.exists(path):
            return {}
        try:
            return catalogue.of_items(path)
        except UserError as error:
            raise UnusableError(f"its {SERVED_ITEMS} cannot be read; copy the version again") from error

    def _read_attributes(self) -> list[Field]:
        """Return the attributes that the version takes; none of one without features."""
        text = storage.read_if_exists(join(self.path, SERVED_ATTRIBUTES))
        try:
            return [Field(**field) for field in json.loads(text)] if text else []
        except (ValueError, TypeError) as error:
            raise UnusableError(f"its {SERVED_ATTRIBUTES} cannot be read; copy the version again") from error

    def _asset(self, name: str) -> str:
        return join(self.path, "assets", name)

    def _check_vocabularies(self) -> None:
        for vocabulary, table in ((VOCAB_USERS, "users"), (VOCAB_ITEMS, "items")):
            expected = self.count(table)
            if expected is None:
                continue
            lines = 0
            with storage.open_to_read(self._asset(vocabulary)) as file:
                while piece := file.read(1 << 22):
                    lines += piece.count(b"\n")
            if lines != expected:
                raise UnusableError(
                    f"its {vocabulary} has {lines} ids and the model has {expected}; copy the version again"
                )

    def _warm_up(self) -> None:
        """Run each signature once: TensorFlow optimises a graph when it first runs."""
        for name, definition in self._definitions.items():
            blank = {key: tensor.blank() for key, tensor in _tensors(definition.inputs).items()}
            self.run(name, blank)


def free_tables() -> None:
    """Free the lookup tables of garbage-collected models, which TensorFlow keeps: 110 bytes per visitor and version.

    A finalizer may run while a graph is built and would add the operation to it, so it only records the handles.
    """
    while _released_tables:
        tf.raw_ops.DestroyResourceOp(resource=_released_tables.popleft(), ignore_lookup_error=True)


def _table_handles(loaded: Any) -> list[tf.Tensor]:
    parts = tf.train.TrackableView(loaded).descendants()
    return [part.resource_handle for part in parts if hasattr(part, "resource_handle")]


def _read_definitions(path: str) -> dict[str, Any]:
    """Read the signature definitions by name, without the marker of an object graph."""
    graph = saved_model_pb2.SavedModel.FromString(storage.read_bytes(join(path, versions.GRAPH)))
    definitions = graph.meta_graphs[0].signature_def
    return {name: definitions[name] for name in sorted(definitions) if not name.startswith("__")}


def _tensors(infos: Any) -> dict[str, Tensor]:
    tensors = {}
    for name, info in sorted(infos.items()):
        sizes = tuple(dimension.size for dimension in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else sizes
        tensors[name] = Tensor(name, tf.dtypes.as_dtype(info.dtype), shape)
    return tensors


def _assertion(error: tf.errors.OpError) -> str:
    """Return the message of a failed assertion in the graph, else TensorFlow's own message."""
    _, separator, rest = error.message.partition("assertion failed: [")
    return rest.partition("]")[0] if separator else _summary(error)


def _summary(error: Exception) -> str:
    """Return an error's message without the node and the stack that TensorFlow adds."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in text.partition("[[")[0].split("\n") if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
