"""Draws of what visitors do -> what happened on a site that shows its list of recommendations, at which second."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from artifacts.names import DAY_SECONDS
from pipeline.demo.lists.habits import Draws

SHOWN, CLICKED, VIEWED, CARTED, BOUGHT = "shown", "clicked", "viewed", "carted", "bought"
PRICE = 10.0
LATE_S = 2 * DAY_SECONDS  # after the click
_CLICK_S, _VIEW_S, _CART_S, _BUY_S, _FOUND_S = 20, 21, 60, 600, 5400


class List(NamedTuple):
    """The recommendations of one visitor."""

    visitor: str
    rule: str
    items: Sequence[str]


class Site(NamedTuple):
    """The names that the site sends, and its items.

    version_parameter: of the event parameter with the version in GA4; with one, GA360 has it in VERSION_DIMENSION.
    """

    list_name: str
    version_parameter: str | None = None
    version: str = ""
    catalogue: Sequence[str] = ()  # items that visitors find without the list
    new_items: int = 0  # of each day, which no list has


class Deed(NamedTuple):
    """Something that a visitor did, or was shown. visit: counts a visitor's visits from 1; items: with positions."""

    at_s: int
    kind: str
    visitor: str
    visit: int
    items: list[tuple[str, int]]  # position 0: outside of the list


def new_item(midnight_s: int, number: int) -> str:
    """Return the id of one of the items that came on a day."""
    return f"new-{datetime.datetime.fromtimestamp(midnight_s, datetime.UTC):%Y%m%d}-{number}"


def deeds(lists: Sequence[List], draws: Draws, start_s: int, site: Site) -> Iterator[Deed]:
    """Yield what happened, a visit at a time; start_s: midnight of the first day."""
    for place, day in zip(*np.nonzero(draws.comes), strict=True):
        yield from _visit(lists[place], draws, (int(place), int(day)), start_s + int(day) * DAY_SECONDS, site)


def _visit(shown: List, draws: Draws, at: tuple[int, int], midnight_s: int, site: Site) -> Iterator[Deed]:
    begin_s, visit = midnight_s + int(draws.second[at]), 2 * at[1] + 1

    def deed(after_s: int, kind: str, item: str, position: int = 0) -> Deed:
        late = after_s >= LATE_S  # in a visit of its own
        return Deed(begin_s + after_s, kind, shown.visitor, visit + late, [(item, position)])

    listed = [(item, position) for position, item in enumerate(shown.items, 1)]
    yield Deed(begin_s, SHOWN, shown.visitor, visit, listed)
    for number in np.flatnonzero(draws.clicks[at][: len(listed)]).tolist():
        item, apart = shown.items[number], 3 * number
        yield deed(_CLICK_S + apart, CLICKED, item, number + 1)
        yield deed(_VIEW_S + apart, VIEWED, item)
        if draws.carts[at][number]:
            yield deed(_CART_S + apart, CARTED, item)
        if draws.buys[at][number]:
            yield deed(_BUY_S + apart, BOUGHT, item)
        if draws.buys_late[at][number]:
            yield deed(LATE_S + apart, BOUGHT, item)
    if not np.isnan(choice := draws.finds[at]):
        pool = shown.items if draws.listed[at] else site.catalogue
        if draws.new[at] and not draws.listed[at] and site.new_items:
            pool = [new_item(midnight_s, number) for number in range(site.new_items)]
        yield deed(_FOUND_S, VIEWED, pool[int(choice * len(pool))])
