"""Search for items by id, title and category."""

from __future__ import annotations

import itertools
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from serving.models.model import Model

_MOST_LINES = 50_000  # with the longest word of a query that are looked at for its other words


class Index:
    """A line per item, most viewed first: id, title and category without case. `find` reads it from start to end."""

    def __init__(self, model: Model):
        """Read the items of a version."""
        self.ids = list(itertools.chain(*model.item_ids()))
        self._starts, text = array("q"), bytearray()
        for name in self.ids:
            item = name.decode("utf-8", "replace")
            self._starts.append(len(text))
            text += b"\n" + b"\t".join(_folded(part) for part in (item, *(model.title_of(item) or ())))
            text += b"\t"
        self._starts.append(len(text))
        self._text = bytes(text)

    def find(self, query: str, k: int) -> list[bytes]:
        """Return up to k ids: of the item with this id, then of those whose id, title or a word begins so, then others.

        The others have all words of the query somewhere. Within each of these groups, most viewed items come first.
        """
        folded = _folded(query)
        if not folded:
            return []
        begins = [b"\n%s\t" % folded, b"\n" + folded, b"\t" + folded, b" " + folded]
        lines = itertools.chain(*map(self._lines_with, begins), self._lines_with_all(folded.split()))
        found: dict[int, None] = {}
        for line in lines:
            found[line] = None
            if len(found) == k:
                break
        return [self.ids[line] for line in found]

    def _lines_with(self, part: bytes) -> Iterator[int]:
        place = self._text.find(part)
        while place >= 0:
            line = bisect_right(self._starts, place) - 1
            yield line
            place = self._text.find(part, self._starts[line + 1])

    def _lines_with_all(self, words: list[bytes]) -> Iterator[int]:
        for line in itertools.islice(self._lines_with(max(words, key=len)), _MOST_LINES):
            text = self._text[self._starts[line] : self._starts[line + 1]]
            if all(word in text for word in words):
                yield line


class ItemSearch:
    """The index of the version that answers, which the first search of a version makes; any thread may search."""

    def __init__(self) -> None:
        """Make no index yet."""
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._of: tuple[int, object] = 0, None  # the version of the index, and the items that were added to it

    def find(self, model: Model, query: str, k: int) -> list[bytes]:
        """Return up to k ids of items, see `Index.find`."""
        with self._lock:
            of = model.number, model.added_stamp
            if self._index is None or of != self._of:
                self._index, self._of = Index(model), of
            index = self._index
        return index.find(query, k)


def _folded(text: str) -> bytes:
    return " ".join(text.casefold().split()).encode("utf-8", "replace")
