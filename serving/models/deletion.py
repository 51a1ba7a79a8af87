"""The deletion list: visitors who are answered as unknown and are never in an answer, from now on.

The next training leaves them out of the model; until then this list does. It contains the ids of the model (hashes, if
ids were hashed) in the format of privacy.deleted_visitors.
"""

from __future__ import annotations

import glob
from collections.abc import Awaitable, Callable

import numpy as np

from artifacts import storage
from artifacts.id_lists import IdList, read_text
from configs.errors import UserError
from serving.models.signatures import Arrays, K

_VISITOR, _VISITORS = "visitorId", "visitorIds"
_UNKNOWN = b""  # no visitor has this id


class DeletionList:
    """The visitors of a deletion list; `refresh` reads the file again if it has changed."""

    def __init__(self, path: str | None):
        """Read the file, if there is one; raise UserError if it cannot be read."""
        self._path = path
        self._files: list[storage.StoredFile] | None = None
        self.ids: frozenset[bytes] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if its size or time has changed; on a UserError the list read before stays in use."""
        if self._path is None:
            return
        try:
            files = storage.glob(glob.escape(self._path))
            if files != self._files:
                self.ids = IdList.parse(read_text(self._path, "serving.deleted_visitors")).ids
                self._files = files
        except OSError as error:
            raise UserError(f"serving.deleted_visitors {self._path} cannot be read: {error}") from error

    async def answer(self, ask: Callable[[Arrays], Awaitable[Arrays]], inputs: Arrays) -> Arrays:
        """Ask without the deleted visitors and remove them from the answer.

        An answer that loses entries is asked again with a doubled k until each row has the length that was requested.
        """
        deleted, k = self.ids, inputs.get(K, np.array(1))
        if _VISITOR in inputs:
            visitors = [_UNKNOWN if visitor in deleted else visitor for visitor in inputs[_VISITOR].tolist()]
            inputs = inputs | {_VISITOR: np.array(visitors, object)}
        outputs = await ask(inputs)
        if _VISITORS not in outputs:
            return outputs
        rows, width = outputs[_VISITORS].shape
        wanted = np.broadcast_to(k, rows) if k.size == 1 else k.reshape(-1)
        asked = int(k.max())
        while True:
            answers = zip(outputs[_VISITORS].tolist(), outputs["count"].tolist(), strict=True)
            kept = [[column for column in range(count) if row[column] not in deleted] for row, count in answers]
            complete = outputs[_VISITORS].shape[1] < asked  # the model has no more visitors
            if complete or all(len(columns) >= most for columns, most in zip(kept, wanted, strict=True)):
                return _select(outputs, [columns[:most] for columns, most in zip(kept, wanted, strict=True)], width)
            asked *= 2
            outputs = await ask(inputs | {K: np.array(asked, k.dtype)})


def _select(outputs: Arrays, kept: list[list[int]], width: int) -> Arrays:
    """Return the kept columns of each row; empty ids and zeros follow them up to `width`."""
    visitors = np.full((len(kept), width), _UNKNOWN, object)
    scores = np.zeros((len(kept), width), np.float32)
    for row, columns in enumerate(kept):
        visitors[row, : len(columns)] = outputs[_VISITORS][row, columns]
        scores[row, : len(columns)] = outputs["scores"][row, columns]
    count = np.array([len(columns) for columns in kept], np.int32)
    return outputs | {_VISITORS: visitors, "scores": scores, "count": count}
