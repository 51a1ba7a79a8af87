"""The visits that every layout of a sample describes: visitors, items, times and dwells.

Visitors come in blocks. A block depends only on the seed, the size and its own number, so blocks can be made again, in
any order and for any of the days, and always contain the same visits.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from artifacts.names import DAY_SECONDS
from pipeline.demo.sample.catalogue import TOPICS_PER_CATEGORY, Catalogue

HOME = -1  # item number of the home page
_MINUTE_MS = 60_000
_SLOTS_PER_DAY = 6  # three hours each, from six in the morning to midnight: no visit crosses midnight
_SLOT_S = 3 * 3600
_LONGEST_VISIT_MS = 170 * _MINUTE_MS

# Shares of a visitor's picks by round: any item by popularity, the favourite category, or else the favourite topic.
# Later rounds serve visitors who have read all of their favourites.
_ANYTHING = (0.06, 0.08, 0.15, 0.4)
_CATEGORY = (0.16, 0.40, 0.75, 0.6)
_ROUNDS = 12
# A visitor's favourite topics: the one of the visitor's three categories that each belongs to, and its weight.
_TASTE_CATEGORY = np.array([0, 0, 1, 1, 2])
_TASTE_WEIGHT = np.array([0.42, 0.22, 0.18, 0.10, 0.08])
_OFF_TASTE_DWELL = 0.4


@dataclass(frozen=True)
class Size:
    """The size of a sample."""

    visitors: int
    items: int
    days: int
    interactions: int
    start_date: datetime.date
    seed: int

    @property
    def start_s(self) -> int:
        """Midnight before the first day, seconds since 1970."""
        return (self.start_date - datetime.date(1970, 1, 1)).days * 86_400

    def date(self, day: int) -> datetime.date:
        """Return the date of day 0, 1, 2, ..."""
        return self.start_date + datetime.timedelta(days=day)

    @property
    def cap(self) -> int:
        """The largest number of items that one visitor reads."""
        return max(1, self.items // 3)

    @property
    def block_visitors(self) -> int:
        return int(np.clip(200_000 * self.visitors // self.interactions, 1, 100_000))

    @property
    def blocks(self) -> int:
        return -(-self.visitors // self.block_visitors)

    def block(self, number: int) -> tuple[int, int]:
        """Return the first visitor of a block, and the one after its last."""
        begin = number * self.block_visitors
        return begin, min(begin + self.block_visitors, self.visitors)

    def items_read(self, amounts: np.ndarray) -> np.ndarray:
        """Return amounts as numbers of items that visitors read, int64."""
        return np.clip(np.ceil(amounts), 1, self.cap).astype(np.int64)


@dataclass(frozen=True)
class Steps:
    """The page views of one block in the order of time, without home pages between them; int64 arrays."""

    visitor: np.ndarray  # of each visit, counted from the block's first
    visit_number: np.ndarray
    start_s: np.ndarray  # since 1970
    day: np.ndarray  # from 0
    session: np.ndarray  # of each view: the visit
    item: np.ndarray  # HOME only where a visit ends there
    dwell_ms: np.ndarray  # 0 for the last view of a visit
    home_ms: np.ndarray  # time on the home page before the view, 0 without
    page_ms: np.ndarray  # when the page opened, since the start of the visit
    pair: np.ndarray  # a row of `pairs`, -1 for a view without dwell
    pairs: np.ndarray  # [P, 2], visitor and item

    @property
    def opened_ms(self) -> np.ndarray:
        """When each page opened, int64[V], ms since 1970."""
        return self.start_s[self.session] * 1000 + self.page_ms


class Tastes:
    """The favourite topics of a block's visitors; draws items from them."""

    def __init__(self, rng: np.random.Generator, catalogue: Catalogue, visitors: int) -> None:
        self._catalogue = catalogue
        ends = np.append(catalogue.topic_begin[1:, 0], catalogue.size)
        groups = len(catalogue.topic_begin)
        mass = catalogue.cumulative[ends] - catalogue.cumulative[catalogue.topic_begin[:, 0]]
        # The largest of log(mass) + Gumbel noise are draws without replacement in proportion to the mass.
        noise = np.log(mass) + rng.gumbel(size=(visitors, groups))
        favourites = np.argsort(-noise, axis=1)[:, np.minimum([0, 1, 2], groups - 1)]
        self._category = favourites[:, _TASTE_CATEGORY]
        first = rng.integers(TOPICS_PER_CATEGORY, size=(visitors, 3))
        second = first + rng.integers(1, TOPICS_PER_CATEGORY, size=(visitors, 3))
        topics = np.stack([first[:, 0], second[:, 0], first[:, 1], second[:, 1], first[:, 2]], axis=1)
        self._topic = topics % TOPICS_PER_CATEGORY
        weights = _TASTE_WEIGHT * rng.gamma(3.0, size=(visitors, len(_TASTE_WEIGHT)))
        self._edges = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)

    def draw(self, rng: np.random.Generator, visitor: np.ndarray, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw an item for each of `visitor` int64[N]; return them, and whether each is to the visitor's taste."""
        catalogue, count = self._catalogue, len(visitor)
        anything, category_share = (shares[min(turn, len(shares) - 1)] for shares in (_ANYTHING, _CATEGORY))
        slot = (rng.random(count)[:, None] > self._edges[visitor, :-1]).sum(axis=1)
        category, topic = self._category[visitor, slot], self._topic[visitor, slot]
        level = rng.random(count)
        wide = level < anything + category_share
        begin, end = catalogue.topic_begin[category, topic], catalogue.topic_begin[category, topic + 1]
        wide |= begin == end  # a topic of a tiny catalogue
        begin = np.where(wide, catalogue.topic_begin[category, 0], begin)
        end = np.where(wide, catalogue.topic_begin[category, TOPICS_PER_CATEGORY], end)
        off = level < anything
        begin, end = np.where(off, 0, begin), np.where(off, catalogue.size, end)
        low, high = catalogue.cumulative[begin], catalogue.cumulative[end]
        mass = low + rng.random(count) * (high - low)
        item = np.searchsorted(catalogue.cumulative, mass, side="right") - 1
        if turn >= len(_ANYTHING):
            item = np.where(off, rng.integers(catalogue.size, size=count), item)
        return np.clip(item, begin, end - 1), ~off


def activity(size: Size) -> tuple[float, float]:
    """Return the location and the spread of the log-normal number of items that a visitor reads.

    The location leads to the mean that the size asks for, after rounding up and capping.
    """
    spread, mean = 0.95, size.interactions / size.visitors
    normal = np.random.default_rng([size.seed, 2]).standard_normal(20_000)
    low, high = math.log(0.01), math.log(size.cap) + 5.0
    for _ in range(40):
        middle = (low + high) / 2
        if size.items_read(np.exp(middle + spread * normal)).mean() < mean:
            low = middle
        else:
            high = middle
    return low, spread


def make_steps(size: Size, catalogue: Catalogue, number: int, reading: tuple[float, float]) -> Steps:
    """Make block `number`; `reading` is `activity(size)`."""
    rng = np.random.default_rng([size.seed, 3, number])
    begin, end = size.block(number)
    wanted = size.items_read(rng.lognormal(*reading, size=end - begin))
    tastes = Tastes(rng, catalogue, end - begin)
    pairs = _pairs(rng, tastes, wanted, catalogue.size)
    pair, dwell_ms = _views(rng, pairs.liked)
    visits = _visits(rng, size, np.bincount(pairs.visitor[pair], minlength=end - begin))
    first_visit = np.searchsorted(visits.visitor, np.arange(end - begin + 1))
    of_view = pairs.visitor[pair]
    session = first_visit[of_view] + (rng.random(len(pair)) * np.diff(first_visit)[of_view]).astype(int)

    # Each visit ends on a page without dwell: the home page or another item.
    sessions = len(visits.visitor)
    exits = np.where(rng.random(sessions) < 0.45, HOME, tastes.draw(rng, visits.visitor, 0)[0])
    order = np.argsort(np.concatenate([session + 0.999 * rng.random(len(pair)), np.arange(sessions) + 0.9995]))
    session = np.concatenate([session, np.arange(sessions)])[order]
    item = np.concatenate([pairs.item[pair], exits])[order]
    dwell_ms, home_ms = _fit(rng, session, item, np.concatenate([dwell_ms, np.zeros(sessions)])[order])
    ends = np.cumsum(dwell_ms + home_ms)
    visit_ends = ends[np.append(np.flatnonzero(np.diff(session)), len(session) - 1)]
    visit_begins = np.concatenate([[0], visit_ends[:-1]])
    spare_s = np.maximum(_SLOT_S - 60 - (visit_ends - visit_begins) // 1000, 0)
    return Steps(
        visitor=visits.visitor,
        visit_number=visits.number,
        start_s=size.start_s + visits.slot_s + (rng.random(sessions) * spare_s).astype(np.int64),
        day=visits.slot_s // DAY_SECONDS,
        session=session,
        item=item,
        dwell_ms=dwell_ms,
        home_ms=home_ms,
        page_ms=ends - dwell_ms - visit_begins[session],
        pair=np.concatenate([pair, np.full(sessions, -1)])[order],
        pairs=np.stack([pairs.visitor, pairs.item], axis=1),
    )


def _views(rng: np.random.Generator, liked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pair and the dwell of each view: one or more per pair, longer for what the visitor likes."""
    repeats = rng.random(len(liked))
    pair = np.repeat(np.arange(len(liked)), 1 + (repeats < 0.15) + (repeats < 0.04))
    dwell_ms = 55_000 * np.exp(0.8 * rng.standard_normal(len(liked))) * np.where(liked, 1.0, _OFF_TASTE_DWELL)
    return pair, (dwell_ms[pair] * rng.uniform(0.6, 1.2, len(pair))).clip(1500, 20 * _MINUTE_MS)


class _Visits(NamedTuple):
    visitor: np.ndarray
    number: np.ndarray
    slot_s: np.ndarray  # start of the visit's slot of three hours, since midnight before the first day


def _visits(rng: np.random.Generator, size: Size, views: np.ndarray) -> _Visits:
    """Spread each visitor's `views` over visits, in order of time; no two visits share a slot."""
    slots, visitors = size.days * _SLOTS_PER_DAY, len(views)
    visits = np.clip(np.ceil(views / rng.uniform(2, 8, visitors)).astype(int), 1, slots)
    visitor = np.repeat(np.arange(visitors), visits)
    nth = np.arange(len(visitor)) - np.repeat(np.cumsum(visits) - visits, visits)
    # A step that shares no factor with the number of slots reaches each slot once.
    steps = np.array([step for step in range(1, slots) if math.gcd(step, slots) == 1])
    step, first = steps[rng.integers(len(steps), size=visitors)], rng.integers(slots, size=visitors)
    slot = (step[visitor] * nth + first[visitor]) % slots
    day, slot_of_day = np.divmod(np.sort(visitor * slots + slot) - visitor * slots, _SLOTS_PER_DAY)
    begin_s = (24 * 3600 - _SLOTS_PER_DAY * _SLOT_S) + slot_of_day * _SLOT_S
    return _Visits(visitor, nth + rng.geometric(0.6, visitors)[visitor], day * DAY_SECONDS + begin_s)


def _fit(
    rng: np.random.Generator, session: np.ndarray, item: np.ndarray, dwell_ms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Insert home pages between the views, and fit each visit into its slot; return dwell_ms, home_ms int64[V]."""
    chance = np.where(np.diff(session, prepend=-1) > 0, 0.5, 0.12)
    home = (rng.random(len(session)) < chance) & (item != HOME)
    home_ms = np.where(home, rng.uniform(1000, 6000, len(session)), 0.0)
    total = np.bincount(session, dwell_ms + home_ms)
    shrink = np.minimum(1.0, _LONGEST_VISIT_MS / np.maximum(total, 1.0))[session]
    whole = [np.where(ms > 0, np.maximum(ms * shrink, 1), 0).astype(np.int64) for ms in (dwell_ms, home_ms)]
    return whole[0], whole[1]


class _Pairs(NamedTuple):
    visitor: np.ndarray
    item: np.ndarray
    liked: np.ndarray  # whether the item is to the visitor's taste


def _pairs(rng: np.random.Generator, tastes: Tastes, wanted: np.ndarray, items: int) -> _Pairs:
    """Draw `wanted` different items for each visitor, ordered by visitor."""
    keys, liked, missing, turn = np.zeros(0, np.int64), np.zeros(0, bool), wanted, 0
    while missing.any() and turn < _ROUNDS:
        visitor = np.repeat(np.arange(len(wanted)), np.where(missing > 0, missing + missing // 3 + 2, 0))
        item, to_taste = tastes.draw(rng, visitor, turn)
        keys, liked = np.append(keys, visitor * items + item), np.append(liked, to_taste)
        first = np.sort(np.unique(keys, return_index=True)[1])  # draw of each pair
        first = first[np.argsort(keys[first] // items, kind="stable")]
        visitor = keys[first] // items
        first = first[np.arange(len(first)) - np.searchsorted(visitor, visitor) < wanted[visitor]]
        keys, liked = keys[first], liked[first]
        missing, turn = wanted - np.bincount(keys // items, minlength=len(wanted)), turn + 1
    return _Pairs(keys // items, keys % items, liked)
