"""Visits as rows of Google Analytics exports, with the schemas of the tables: GA360 sessions and GA4 events.

A row is a dict, nested as `bq extract` nests it; a NULL is a missing key. `number` converts each INT64: to a string for
JSON, which carries INT64 as strings, and to itself for other formats.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.demo.sample.catalogue import Catalogue
from pipeline.demo.sample.visits import HOME, Steps

SUBSCRIBER, CATEGORY, ITEM = 4, 7, 10  # indices of the GA360 custom dimensions
SITE = "https://example.com"
SUFFIXES = ("?utm_source=newsletter", "?utm_source=social#comments")
_CHANNELS = ("Direct", "Organic Search", "Social", "Email", "Referral")
_ANONYMOUS_SHIFT_S = 3600
_SCROLL_MIN_DWELL_MS = 2000
DRAWS = 1000

Row = dict[str, Any]
Number = Callable[[int], Any]

_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()
_HIT = {
    "hitNumber": _INT,
    "time": _INT,
    "type": _TEXT,
    "isInteraction": pa.bool_(),
    "page": pa.struct({"pagePath": _TEXT, "pageTitle": _TEXT}),
    "customDimensions": pa.list_(pa.struct({"index": _INT, "value": _TEXT})),
}
GA360_SCHEMA = pa.schema(
    {
        "fullVisitorId": _TEXT,
        "visitNumber": _INT,
        "visitId": _INT,
        "visitStartTime": _INT,
        "date": _TEXT,
        "totals": pa.struct({"visits": _INT, "hits": _INT, "pageviews": _INT}),
        "hits": pa.list_(pa.struct(_HIT)),
        "channelGrouping": _TEXT,
    }
)
_VALUE = {"string_value": _TEXT, "int_value": _INT, "float_value": _FLOAT, "double_value": _FLOAT}
GA4_SCHEMA = pa.schema(
    {
        "event_date": _TEXT,
        "event_timestamp": _INT,
        "event_name": _TEXT,
        "event_params": pa.list_(pa.struct({"key": _TEXT, "value": pa.struct(_VALUE)})),
        "user_id": _TEXT,
        "user_pseudo_id": _TEXT,
        "platform": _TEXT,
    }
)


class Block:
    """One block of visits as Python lists, with the details that both layouts share."""

    def __init__(self, steps: Steps, visitor_ids: list[str], seed: tuple[int, int]) -> None:
        """Draw the details from `seed`, the sample's seed and the number of the block."""
        rng = np.random.default_rng([seed[0], 4, seed[1]])
        sessions, views = len(steps.visitor), len(steps.session)
        self._steps, self.visitor_ids, self.seed = steps, visitor_ids, seed
        self.visitor = steps.visitor.tolist()
        self.visit_number = steps.visit_number.tolist()
        self.start_s = steps.start_s.tolist()
        self.first_view = np.searchsorted(steps.session, np.arange(sessions + 1)).tolist()
        self.item = steps.item.tolist()
        self.dwell_ms = steps.dwell_ms.tolist()
        self.home_ms = steps.home_ms.tolist()
        self.page_ms = steps.page_ms.tolist()
        scrolls = (rng.random(views) < 0.2) & (steps.dwell_ms >= _SCROLL_MIN_DWELL_MS)
        self.scroll_ms = np.where(scrolls, steps.dwell_ms // 2, 0).tolist()  # 0: no such event
        self.campaign = np.where(rng.random(views) < 0.06, rng.integers(len(SUFFIXES), size=views), -1).tolist()
        self.channel = rng.integers(len(_CHANNELS), size=sessions).tolist()
        self.subscriber = (rng.random(len(visitor_ids)) < 0.3).tolist()
        self.anonymous = (rng.random(sessions) < 0.02).tolist()
        self.draw = rng.integers(DRAWS, size=views).tolist()  # decides on what a layout varies

    def views(self, session: int) -> range:
        """Return the views of a session."""
        return range(self.first_view[session], self.first_view[session + 1])

    def sessions(self, day: int, part: int, parts: int) -> list[int]:
        """Return the visits of one file of a day; a visitor's visits move to another file every day."""
        sessions = np.flatnonzero(self._steps.day == day)
        return sessions[(self._steps.visitor[sessions] + day) % parts == part].tolist()


class Ga360:
    """Renders visits as rows of ga_sessions_YYYYMMDD."""

    schema, table = GA360_SCHEMA, "ga_sessions_"

    def __init__(self, catalogue: Catalogue, number: Number) -> None:
        self._number = number
        self._pages = [
            {"pagePath": path, "pageTitle": title}
            for path, title in zip(_paths(catalogue), catalogue.titles, strict=True)
        ]
        self._home = {"pagePath": "/", "pageTitle": "Home"}
        self._categories = [{"index": number(CATEGORY), "value": name} for name in catalogue.categories]
        self._ids = [{"index": number(ITEM), "value": content_id} for content_id in catalogue.content_ids]
        self._subscriber = [{"index": number(SUBSCRIBER), "value": value} for value in ("non-subscriber", "subscriber")]

    def rows(self, block: Block, sessions: Iterable[int]) -> Iterator[Row]:
        """Yield one row per visit."""
        number = self._number
        for session in sessions:
            visitor = block.visitor[session]
            hits = [
                {"hitNumber": number(position), "time": number(time_ms), **hit}
                for position, (time_ms, hit) in enumerate(self._timeline(block, session), 1)
            ]
            start_s = number(block.start_s[session])
            pages = sum(hit["type"] == "PAGE" for hit in hits)
            yield {
                "fullVisitorId": block.visitor_ids[visitor],
                "visitNumber": number(block.visit_number[session]),
                "visitId": start_s,
                "visitStartTime": start_s,
                "date": _date(block.start_s[session]),
                "totals": {"visits": number(1), "hits": number(len(hits)), "pageviews": number(pages)},
                "hits": hits,
                "channelGrouping": _CHANNELS[block.channel[session]],
            }

    @staticmethod
    def count(rows: Sequence[Row]) -> dict[str, int]:
        """Return the number of sessions and hits in the rows."""
        return {"sessions": len(rows), "hits": sum(len(row["hits"]) for row in rows)}

    def _timeline(self, block: Block, session: int) -> Iterator[tuple[int, Row]]:
        """Yield the hits of a visit in the order of time: ms since its start, and what is not number and time."""
        subscriber = self._subscriber[block.subscriber[block.visitor[session]]]
        for view in block.views(session):
            item, time_ms = block.item[view], block.page_ms[view]
            if item == HOME:
                yield time_ms, self._hit("PAGE", self._home, [subscriber])
                continue
            if home_ms := block.home_ms[view]:
                yield time_ms - home_ms, self._hit("PAGE", self._home, [subscriber])
            page, dimensions = self._page(block, view), [subscriber, self._categories[item], self._ids[item]]
            yield time_ms, self._hit("PAGE", page, dimensions)
            if scroll_ms := block.scroll_ms[view]:
                yield time_ms + scroll_ms, self._hit("EVENT", page, dimensions)

    def _page(self, block: Block, view: int) -> Row:
        page = self._pages[block.item[view]]
        if (campaign := block.campaign[view]) >= 0:
            query = SUFFIXES[campaign].partition("#")[0]
            page = {"pagePath": page["pagePath"] + query, "pageTitle": page["pageTitle"]}
        return page

    @staticmethod
    def _hit(kind: str, page: Row, dimensions: list[Row]) -> Row:
        return {"type": kind, "isInteraction": True, "page": page, "customDimensions": dimensions}


class Ga4:
    """Renders the same visits as rows of events_YYYYMMDD, and adds visits of visitors who gave no consent."""

    schema, table = GA4_SCHEMA, "events_"

    def __init__(self, catalogue: Catalogue, number: Number) -> None:
        self._number = number
        self._paths = _paths(catalogue)
        self._locations = [text("page_location", SITE + path) for path in self._paths]
        self._titles = [text("page_title", title) for title in catalogue.titles]
        self._ids = [text("content_id", content_id) for content_id in catalogue.content_ids]
        self._home = [text("page_location", f"{SITE}/"), text("page_title", "Home")]

    def rows(self, block: Block, sessions: Iterable[int]) -> Iterator[Row]:
        """Yield one row per event. A visit without consent copies another, an hour earlier and without its visitor."""
        for session in sessions:
            visitor = block.visitor[session]
            visitor_id, start_s = block.visitor_ids[visitor], block.start_s[session]
            ids: Row = {"user_pseudo_id": pseudo_id(visitor_id), "platform": "WEB"}
            if block.subscriber[visitor]:
                ids = {"user_id": f"member-{visitor_id}"} | ids
            yield from self._events(block, session, start_s, [self._integer("ga_session_id", start_s)], ids)
            if block.anonymous[session]:
                yield from self._events(block, session, start_s - _ANONYMOUS_SHIFT_S, [], {"platform": "WEB"})

    @staticmethod
    def count(rows: Sequence[Row]) -> dict[str, int]:
        """Return the number of events in the rows, and of those without consent."""
        return {"events": len(rows), "events without consent": sum("user_pseudo_id" not in row for row in rows)}

    def _events(self, block: Block, session: int, start_s: int, session_id: list[Row], ids: Row) -> Iterator[Row]:
        date = _date(start_s)
        for number, (time_ms, event) in enumerate(self._timeline(block, session, session_id)):
            yield {
                "event_date": date,
                # The microseconds keep the events of a visit in order.
                "event_timestamp": self._number((start_s * 1000 + time_ms) * 1000 + number),
                **event,
                **ids,
            }

    def _timeline(self, block: Block, session: int, session_id: list[Row]) -> Iterator[tuple[int, Row]]:
        """Yield the events of a visit in the order of time: ms since its start, and name and parameters."""

        def event(name: str, params: list[Row]) -> Row:
            return {"event_name": name, "event_params": session_id + params}

        views = block.views(session)
        for view in views:
            item, time_ms, home_ms = block.item[view], block.page_ms[view], block.home_ms[view]
            page = self._home if item == HOME else self._page(block, view)
            if view == views.start and session_id:
                yield 0, event("session_start", (self._home if home_ms else page)[:2])
            if home_ms:
                yield time_ms - home_ms, event("page_view", self._home)
                yield time_ms, event("user_engagement", [*self._home, self._engaged(home_ms)])
            yield time_ms, event("page_view", page)
            if scroll_ms := block.scroll_ms[view]:
                yield time_ms + scroll_ms, event("scroll", [*page, self._engaged(scroll_ms)])
            if dwell_ms := block.dwell_ms[view]:
                yield time_ms + dwell_ms, event("user_engagement", [*page, self._engaged(dwell_ms - scroll_ms)])

    def _page(self, block: Block, view: int) -> list[Row]:
        item, campaign = block.item[view], block.campaign[view]
        location = self._locations[item]
        if campaign >= 0:
            location = text("page_location", SITE + self._paths[item] + SUFFIXES[campaign])
        return [location, self._titles[item], self._ids[item]]

    def _engaged(self, ms: int) -> Row:
        return self._integer("engagement_time_msec", ms)

    def _integer(self, key: str, value: int) -> Row:
        return {"key": key, "value": {"int_value": self._number(value)}}


def pseudo_id(full_visitor_id: str) -> str:
    """Return a visitor's user_pseudo_id in GA4: the digits of the fullVisitorId with a dot between."""
    return f"{full_visitor_id[:10]}.{full_visitor_id[10:]}"


def text(key: str, value: str) -> Row:
    return {"key": key, "value": {"string_value": value}}


def _paths(catalogue: Catalogue) -> list[str]:
    categories_and_ids = zip(catalogue.categories, catalogue.content_ids, strict=True)
    return [f"/{category.lower()}/{content_id}" for category, content_id in categories_and_ids]


def _date(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y%m%d")
