"""Items that were added between two trainings, as a version of the model has them.

The server watches the file of added items, which it may also change itself (POST /items). Each version that is loaded
computes their factors from their attributes by its own graph.
"""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Callable, Collection

from artifacts import storage
from artifacts.features import added_items
from artifacts.features.added_items import FROM_ATTRIBUTES, AddedItems
from configs.errors import UserError
from serving.models.model import Model
from serving.models.signatures import WithItems

LOG = logging.getLogger("serving")


class AddedFile:
    """The file of added items; any thread may call its methods."""

    def __init__(
        self, path: str | None, left_out: Callable[[], Collection[bytes]] = frozenset, is_posted: bool = False
    ):
        """Read the file, if there is one; raise UserError.

        Args:
            left_out: returns visitors whose views do not count.
            is_posted: whether items come by requests, none of which may wait until TensorFlow is imported.
        """
        self.path, self._left_out, self._is_posted = path, left_out, is_posted
        self._lock = threading.Lock()
        self._stamp: object = None
        self._items = AddedItems.read(path) if path else None

    def refresh(self, model: Model | None) -> None:
        """Read the file again if it has changed, and pass the items to the live version unless it has them."""
        if self.path is None:
            return
        with self._lock:
            stamp = self._stamp_now(), frozenset(self._left_out())
            if stamp != self._stamp:
                try:
                    self._items = AddedItems.read(self.path)
                except UserError as error:
                    LOG.error("%s; the items read before stay", error)
                self._stamp = stamp
            if model is not None and model.added_stamp != stamp:
                self._give(model)

    def give(self, model: Model) -> None:
        """Pass the items to a version that was loaded."""
        with self._lock:
            self._give(model)

    def _stamp_now(self) -> list[storage.StoredFile]:
        try:
            return storage.glob(glob.escape(self.path or ""))
        except OSError as error:
            LOG.error("added_items %s cannot be read: %s", self.path, error)
            return []

    def _give(self, model: Model) -> None:
        items, model.added_stamp = self._items, self._stamp
        if items is None or not len(items):
            model.added = None
            if self._is_posted and FROM_ATTRIBUTES in model.signatures:
                inputs = model.signatures[FROM_ATTRIBUTES].inputs
                model.run(FROM_ATTRIBUTES, {name: tensor.blank() for name, tensor in inputs.items()})
            return
        if FROM_ATTRIBUTES not in model.signatures:
            LOG.warning("version %d cannot take %d added items: it has no features of items", model.number, len(items))
            return
        requests = items.requests(model.attributes, self._left_out())
        ids, factors = added_items.placed(items.ids, [model.run(FROM_ATTRIBUTES, inputs) for inputs in requests])
        unknown = len(ids) - int(factors.any(axis=1).sum())
        LOG.info("version %d: %d added items; of %d of them nothing is known", model.number, len(ids), unknown)
        given = WithItems(ids, factors, items.titles())
        model.added = given if ids else None
