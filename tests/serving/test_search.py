"""Search for items against a plain search through all of them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from serving.http.page.search import Index, ItemSearch

WORDS = ("rain", "Rainy", "open", "source", "farm", "ÄPFEL", "a")
TITLES = {
    f"id-{n}": (" ".join(words), "News" if n % 2 else "") for n, words in enumerate(itertools.permutations(WORDS, 2))
}
IDS = [*(name.encode() for name in TITLES), b"id", b"no title", b"\xff\xfe"]


def model(number: int = 1):
    return SimpleNamespace(number=number, added_stamp=None, item_ids=lambda: (IDS[:-1], IDS[-1:]), title_of=TITLES.get)


def searched(query: str, k: int) -> list[bytes]:
    """Return what a look at each item finds, the best match first."""
    query = query.casefold()

    def place(item: bytes) -> int | None:
        name = item.decode("utf-8", "replace")
        parts = [part.casefold() for part in (name, *TITLES.get(name, ()))]
        matches = (
            parts[0] == query,
            parts[0].startswith(query),
            any(part.startswith(query) for part in parts[1:]),
            any(f" {query}" in part for part in parts),
            all(any(word in part for part in parts) for word in query.split()),
        )
        return matches.index(True) if True in matches else None

    places = [(place(item), order) for order, item in enumerate(IDS)]
    return [IDS[order] for found, order in sorted(one for one in places if one[0] is not None)][:k]


@pytest.mark.parametrize(
    "query", ["id", "id-1", "ID-7", "rain", "source open", "äpfel", "news", "arm", "n", "ai new", "zzz"]
)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_the_best_matches_come_first(query, k):
    assert Index(model()).find(query, k) == searched(query, k)


@pytest.mark.parametrize("query", [" ", "\t\n", "\n", "\ufffd\ufffd"])
def test_odd_queries_find_what_they_name(query):
    assert Index(model()).find(query, 9) == ([IDS[-1]] if query.strip() else [])


def test_a_new_version_has_its_own_items():
    search = ItemSearch()
    assert search.find(model(), "no title", 5) == [b"no title"]
    other = SimpleNamespace(number=2, added_stamp=None, item_ids=lambda: ([b"x"], []), title_of=lambda item: None)
    assert search.find(other, "no title", 5) == [] and search.find(other, "x", 5) == [b"x"]
