"""One version of a model in memory, with its signatures and metadata."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from artifacts import catalogue, storage
from artifacts.catalogue import LINK_COLUMNS, PICTURE_COLUMNS, Catalogue, Links
from artifacts.features.fields import Field
from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, SERVED_ATTRIBUTES, SERVED_ITEMS, TITLE, VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import join
from artifacts.served.tables import Tables
from artifacts.vocabulary import Vocabulary
from configs import cli
from configs.errors import UserError
from serving.errors import UnusableError
from serving.models import local_copy, versions
from serving.models.signatures import DEFAULT_SIGNATURE, WITH_ITEMS, Arrays, Signature, WithItems
from serving.rules.limits import Limited, Limits, Rules

REQUIRED_SIGNATURES = (DEFAULT_SIGNATURE, "recommend", "history", "audience", "similar_items", "explanation")
_MOST_ORIGINS = 20
_WARM = Limits(Rules(mmr_lambda=0.5))  # so that no request waits for the kernel of MMR either
_released: deque[Callable[[], None]] = deque()  # frees what TensorFlow keeps of models that were garbage-collected


class Backend(Protocol):
    """The part that answers: `engine.Engine` from the version's tables, or `graph.Graph` by TensorFlow."""

    described: dict[str, Any]  # the signature definitions by name, see `artifacts.served.signatures`

    def run(
        self, signature: str, inputs: Arrays, added: WithItems | None = None, limited: Limited | None = None
    ) -> Arrays: ...

    def may_be(self, ids: list[bytes], added: WithItems | None, limited: Limited) -> np.ndarray: ...

    def count(self, table: str) -> int | None: ...

    def reads(self, signature: str) -> float: ...

    def to_warm_up(self) -> list[str]: ...


class Model:
    """A loaded version. Several threads may call `run` at once."""

    def __init__(self, number: int, path: str):
        """Load a version, check it and warm it up; raise UnusableError if this server cannot serve it."""
        started = time.monotonic()
        self.number, self.path = number, path
        versions.check(path)
        self._backend = _load(path)
        self._signatures = self._read_signatures()
        # Those that take added items run in place of the others, see `added`.
        self.signatures = {name: one for name, one in self._signatures.items() if not name.endswith(WITH_ITEMS)}
        self.added: WithItems | None = None  # in the answers of all signatures about items
        self.added_stamp: object = None  # the state of the file that they are from
        for name in REQUIRED_SIGNATURES:
            if name not in self.signatures:
                raise UnusableError(f"it has no signature {name}; train the model again")
        self._check_vocabularies()
        for name in self._backend.to_warm_up():
            self.run(name, {key: tensor.blank() for key, tensor in self._signatures[name].inputs.items()})
        (self.titles, self.links), self.attributes = self._read_titles(), self._read_attributes()
        if self.has_tables:
            blank = {key: tensor.blank() for key, tensor in self._signatures["recommend"].inputs.items()}
            self.run("recommend", blank, _WARM)
        self.examples: list[bytes] = []  # visitors that the page offers
        self.seconds = time.monotonic() - started

    def run(self, signature: str, inputs: Arrays, limits: Limits | None = None) -> Arrays:
        """Return a signature's outputs; raise Refusal if inputs (400) or limits (422) are refused, or memory is short.

        limits: of the items in the answer; None lets all be there.
        """
        limited = None if limits is None else Limited(limits, self._category_of)
        return self._backend.run(signature, inputs, self.added, limited)

    def may_be(self, ids: list[bytes], limits: Limits) -> np.ndarray:
        """Return bool [n], which items the limits allow in an answer."""
        return self._backend.may_be(ids, self.added, Limited(limits, self._category_of))

    @cached_property
    def has_tables(self) -> bool:
        """True if the version can answer under limits."""
        return Tables.are_in(self.path)

    def _category_of(self, item: bytes) -> str:
        return (self.title_of(item.decode("utf-8", "replace")) or ("", ""))[1]

    def title_of(self, item: str) -> tuple[str, str] | None:
        """Return title and category of an item, if it has one of them."""
        return self.titles.get(item) or (self.added.titles.get(item) if self.added else None)

    def known_of(self, item: str) -> dict[str, str]:
        """Return what an answer states of an item: title and category, link and picture, where it has them."""
        known = dict(zip((TITLE, CATEGORY), self.title_of(item) or (), strict=False))
        addresses = zip(("link", "picture"), self.links.get(item, ()), strict=False)
        return known | {name: address for name, address in addresses if address}

    @cached_property
    def picture_origins(self) -> list[str]:
        """The origins of the items' pictures, or all of the web's if there are many."""
        pictures = filter(None, (picture for _, picture in self.links.values()))
        origins = {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, pictures)}
        return sorted(origins) if len(origins) <= _MOST_ORIGINS else ["https:", "http:"]

    def item_ids(self) -> tuple[list[bytes], list[bytes]]:
        """Return the ids of the items of the training, those of most visitors first, and of those since."""
        known = Vocabulary.read(self._asset(VOCAB_ITEMS)).ids
        since = (
            [name.encode("latin-1") for name in Tables(self.path).about["new_ids"]] if Tables.are_in(self.path) else []
        )
        own = {*known, *since} if self.added else set()
        return known, since + [name for name in (self.added.ids if self.added else ()) if name not in own]

    def metadata(self, name: str) -> dict[str, Any]:
        """Return the answer of TensorFlow Serving's metadata address."""
        spec = {"name": name, "signature_name": "", "version": str(self.number)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": self._backend.described}}}

    def count(self, table: str) -> int | None:
        """Return the number of rows of the table `users` or `items`, or None if the model has no such table."""
        return self._backend.count(table)

    def reads(self, signature: str) -> float:
        """Return how many numbers of its tables a signature reads for a row; infinity if that is not known."""
        return self._backend.reads(signature)

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

    def _read_signatures(self) -> dict[str, Signature]:
        try:
            return {name: Signature.of(name, fields) for name, fields in self._backend.described.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise UnusableError("its signatures cannot be read; train the model again") from error

    def _read_titles(self) -> tuple[Catalogue, Links]:
        """Return titles and categories, links and pictures that came with the version; none of an older trainer's."""
        path = join(self.path, SERVED_ITEMS)
        if not storage.exists(path):
            return {}, {}
        try:
            table = ItemsTable.read(path, optional=(TITLE, CATEGORY, *LINK_COLUMNS, *PICTURE_COLUMNS)).table
            return catalogue.names_of_items(table), catalogue.links_in(table)
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


def _load(path: str) -> Backend:
    if Tables.are_in(path):
        from serving.models.engine.engine import Engine

        return Engine(local_copy.of(path) if storage.is_remote(path) else path)
    cli.import_tensorflow()
    from serving.models.graph import Graph  # which imports TensorFlow

    return Graph(path, _released)


def free_tables() -> None:
    """Free what TensorFlow keeps of garbage-collected models.

    A finalizer may run while a graph is built and would add the operation to it, so it only records what to do.
    """
    while _released:
        _released.popleft()()
