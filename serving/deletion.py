"""Visitors who asked to be forgotten: they are answered as unknown, and named to nobody, from now on.

The next training leaves them out of the model; until then this list does. Its lines are the model's ids: hashes, where
ids were hashed; the form is that of privacy.deleted_visitors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import tensorflow as tf

from artifacts import privacy
from configs.errors import UserError
from serving.http.codec import K

_VISITOR, _VISITORS = "visitorId", "visitorIds"
_UNKNOWN = b""  # no visitor has this id

Outputs = dict[str, np.ndarray]


class Deleted:
    """The list; `refresh` reads it again where the file has changed."""

    def __init__(self, path: str | None):
        """Raises:
        UserError: the file cannot be read.
        """
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self.ids: frozenset[bytes] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Raises:
        UserError: the file cannot be read; the list is as before.
        """
        if self._path is None:
            return
        try:
            about = tf.io.gfile.stat(self._path)
            stamp = about.length, about.mtime_nsec
            if stamp == self._stamp:
                return
            with tf.io.gfile.GFile(self._path, "rb") as file:
                data = file.read()
        except tf.errors.OpError as error:
            raise UserError(f"serving.deleted_visitors {self._path} cannot be read: {error.message}") from error
        self.ids, self._stamp = privacy.listed(data), stamp

    def without(self, inputs: Outputs) -> Outputs:
        """Inputs in which nobody of the list is named."""
        visitors = inputs.get(_VISITOR)
        if visitors is None or not self.ids:
            return inputs
        named = [_UNKNOWN if visitor in self.ids else visitor for visitor in visitors.tolist()]
        return inputs | {_VISITOR: np.array(named, object)}

    async def answer(self, ask: Callable[[Outputs], Awaitable[Outputs]], inputs: Outputs) -> Outputs:
        """Asks; where the answer names somebody of the list, asks for more until enough others are left."""
        inputs = self.without(inputs)
        k = inputs.get(K, np.array(1))
        outputs = await ask(inputs)
        if not self.ids or _VISITORS not in outputs:
            return outputs
        wanted = np.broadcast_to(k, len(outputs[_VISITORS])) if k.size == 1 else k
        width = outputs[_VISITORS].shape[1]
        asked = int(k.max())
        while True:
            kept = self._kept(outputs)
            whole = outputs[_VISITORS].shape[1] < asked
            if whole or all(len(places) >= most for places, most in zip(kept, wanted.reshape(-1), strict=True)):
                return _only(outputs, kept, wanted.reshape(-1), width)
            asked *= 2
            outputs = await ask(inputs | {K: np.array(asked, k.dtype)})

    def _kept(self, outputs: Outputs) -> list[list[int]]:
        rows = zip(outputs[_VISITORS].tolist(), outputs["count"].tolist(), strict=True)
        return [[place for place in range(count) if row[place] not in self.ids] for row, count in rows]


def _only(outputs: Outputs, kept: list[list[int]], wanted: np.ndarray, width: int) -> Outputs:
    """The places that are kept, at most `wanted` of each row; behind them stand an empty id and 0."""
    visitors = np.full((len(kept), width), _UNKNOWN, object)
    scores = np.zeros((len(kept), width), np.float32)
    count = np.zeros(len(kept), np.int32)
    for row, (places, most) in enumerate(zip(kept, wanted, strict=True)):
        places = places[: int(most)]
        visitors[row, : len(places)] = outputs[_VISITORS][row, places]
        scores[row, : len(places)] = outputs["scores"][row, places]
        count[row] = len(places)
    return outputs | {_VISITORS: visitors, "scores": scores, "count": count}
