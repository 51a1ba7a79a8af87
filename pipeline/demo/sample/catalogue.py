"""The items of a sample: ids, titles, categories and popularity."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from artifacts.catalogue import COLUMNS
from pipeline.demo.sample.titles import TOPICS, title

TOPICS_PER_CATEGORY = 4


@dataclass(frozen=True)
class Catalogue:
    """Items in order of category and topic, so that each topic and each category is a range."""

    content_ids: list[str]
    titles: list[str]
    categories: list[str]
    cumulative: np.ndarray  # float64[C + 1], the popularity of all items before each; its last value is 1
    topic_begin: np.ndarray  # int64[G, T + 1], first item of each topic by category; row g ends where g + 1 begins

    @property
    def size(self) -> int:
        return len(self.content_ids)

    def csv(self) -> bytes:
        """Return the catalogue as a CSV file (artifacts.catalogue)."""
        text = io.StringIO()
        rows = zip(self.content_ids, self.titles, self.categories, strict=True)
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        return text.getvalue().encode()


def make_catalogue(items: int, seed: int) -> Catalogue:
    """Draw a catalogue of `items` items, whose popularity follows Zipf's law."""
    rng = np.random.default_rng([seed, 0])
    groups = int(np.clip(items // 12, 1, len(TOPICS)))
    names = [list(TOPICS)[g] for g in np.sort(rng.permutation(len(TOPICS))[:groups])]
    weights = rng.permutation((1.0 + np.arange(groups)) ** -0.4)
    group_begin = np.rint(np.concatenate([[0], np.cumsum(weights / weights.sum())]) * items).astype(int)
    topics = np.arange(TOPICS_PER_CATEGORY + 1)
    sizes = np.diff(group_begin)[:, None]
    topic_begin = group_begin[:-1, None] + np.rint(sizes * topics / TOPICS_PER_CATEGORY).astype(int)

    titles: list[str] = []
    for (group, topic), count in np.ndenumerate(np.diff(topic_begin, axis=1)):
        titles += [title(names[group], topic, number) for number in range(count)]
    cumulative = np.concatenate([[0.0], np.cumsum(1 / (rng.permutation(items) + 2.0))])
    return Catalogue(
        content_ids=[str(n) for n in scramble(np.arange(items), 29, seed) + np.uint64(100_000_000)],
        titles=titles,
        categories=np.repeat(names, sizes[:, 0]).tolist(),
        cumulative=cumulative / cumulative[-1],
        topic_begin=topic_begin,
    )


def scramble(numbers: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """Map 0 <= numbers < 2^bits one to one onto numbers that look random, uint64[n]."""
    mask = np.uint64((1 << bits) - 1)
    odd = np.random.default_rng([seed, 1]).integers(1 << (bits - 1), 1 << bits, 3, np.uint64) | np.uint64(1)
    x = (numbers.astype(np.uint64) + odd[0]) & mask
    for factor in odd:
        x ^= x >> np.uint64(bits // 2)
        x = (x * factor) & mask
    return x ^ (x >> np.uint64(bits // 2))


def visitor_ids(begin: int, end: int, seed: int) -> list[str]:
    """Return the fullVisitorIds of visitors `begin` to `end`: 19 digits, some with leading zeros, no two equal."""
    return [f"{n:019d}" for n in scramble(np.arange(begin, end), 63, seed).tolist()]
