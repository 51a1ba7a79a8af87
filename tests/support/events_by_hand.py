"""The rule of GA4's signals, one event after the other in plain Python: for the fuzz tests.

Single values go through the product's own functions, which have tests of their own: a time, a URL, a float as text.
"""

from __future__ import annotations

import datetime
import math
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.vocabulary import INEXACT, id_of_number
from configs.settings import SourceSettings
from configs.settings.signals import Signal
from pipeline.sources import times
from pipeline.sources.items.pages import PageRules

NUMBER = re.compile(r" *[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)? *")
WHOLE = re.compile(r"-?[0-9]{1,19}([.]0*)?")
STEPS = 1 << 20


class Occurrence(NamedTuple):
    """One event or item under one signal; at most one of skip and fault is set."""

    signal: int
    item: str | None
    amount: float
    line: dict | None  # of items[]
    is_line: bool
    skip: str | None
    fault: str | None


@dataclass
class Expected:
    """The account of some records, and what is left of them."""

    counts: Counter[str] = field(default_factory=Counter)
    occurrences: int = 0  # that count, before they are summed by event and item
    rows: list[tuple] = field(default_factory=list)  # visitor, item, amount, time in ms, again, what tells events apart
    attributes: dict[tuple, tuple[int, int]] = field(default_factory=dict)  # (item, name, value) -> rows, last time

    def pairs(self, source: SourceSettings) -> dict[tuple[str, str], tuple[float, float, int, bool]]:
        """Return (visitor, item) -> sum, sum of absolute amounts, last time, whether it may be recommended again."""
        pairs: dict[tuple[str, str], tuple[float, float, int, bool]] = {}
        for visitor, item, amount, time, again, _ in (
            dict.fromkeys(self.rows) if source.drop_duplicate_events else self.rows
        ):
            total, size, last, all_again = pairs.get((visitor, item), (0.0, 0.0, 0, True))
            pairs[visitor, item] = (total + amount, size + abs(amount), max(last, time), all_again and again)
        return pairs


def expected(records: list[dict[str, Any] | None], source: SourceSettings) -> Expected:
    """Return what becomes of records in the form of GA4's schema, their leaves text or floats; None is malformed."""
    made = Expected()
    rules = PageRules(source.page_rules)
    for record in records:
        made.counts["records.read"] += 1
        if record is None:
            made.counts["records.rejected.malformed"] += 1
        elif fate := _Event(record, source, rules).add_to(made):
            made.counts[f"records.{fate}"] += 1
    made.counts = +made.counts
    return made


class _Event:
    def __init__(self, record: dict[str, Any], source: SourceSettings, rules: PageRules):
        self._record, self._source, self._rules = record, source, rules
        self._lines = record["items"] or []
        self._params: dict[str | None, Any] = {}
        for param in record["event_params"] or []:
            self._params.setdefault((param or {}).get("key"), (param or {}).get("value") or {})
        self._visitor = self._known(record["user_pseudo_id"])
        if source.prefer_user_id and self._known(record["user_id"]) not in (None, "", "0"):
            self._visitor = record["user_id"]

    def add_to(self, made: Expected) -> str | None:
        """Add the event to the account; return its fate, None if it counts."""
        if fate := self._outside(made):
            return fate
        name = self._record["event_name"]
        made.counts[f"seen.event.{_shown(name)}"] += 1
        signals = [
            (place, signal)
            for item in dict.fromkeys(signal.item for signal in self._source.all_signals)
            for place, signal in enumerate(self._source.all_signals)
            if signal.item == item and ("*" in signal.event or name in signal.event)
        ]
        if not signals:
            return "skipped.no_signal"
        if self._visitor is None:
            return "skipped.no_visitor_id"
        for param in self._record["event_params"] or []:
            if (param or {}).get("key") is not None:
                made.counts[f"seen.parameter.{_shown(param['key'])}"] += 1
        found = [one for place, signal in signals for one in self._occurrences(place, signal)]
        for one in found:
            made.counts[f"seen.signal.{one.signal + 1}"] += one.item is not None
        faults = [one.fault for one in found if one.fault and not one.is_line]
        stamp, has_stamp = times.since_1970(_array(self._record["event_timestamp"]), "us")
        fault = None if has_stamp[0] else "event_timestamp_invalid"
        if fault := fault or _fault("visitor_id", self._visitor) or (faults[-1] if faults else None):
            return f"rejected.{fault}"
        return self._count(found, int(stamp[0]), made)

    def _outside(self, made: Expected) -> str | None:
        coded = times.days(_array(self._record["event_date"]))
        (day,) = coded.to_pylist()
        if day:
            made.counts[f"seen.date.{day}"] += 1
        end = self._source.end_date
        if end is None:
            return None
        return "rejected.date_invalid" if not day else "skipped.outside_window" if day > f"{end:%Y%m%d}" else None

    def _count(self, found: list[Occurrence], stamp: int, made: Expected) -> str | None:
        for one in found:
            if one.is_line:
                made.counts["items.read"] += 1
                made.counts[f"items.skipped.{one.skip}"] += one.skip is not None
                made.counts[f"items.rejected.{one.fault}"] += one.fault is not None
        kept = [one for one in found if not one.skip and not one.fault]
        if not kept:
            skips = [one.skip for one in found if one.skip]
            return f"skipped.{skips[-1] if skips else 'no_valid_item' if found else 'no_item'}"
        made.occurrences += len(kept)
        sums: dict[str | None, float] = defaultdict(float)
        again: dict[str | None, bool] = {}
        for one in kept:
            signal = self._source.all_signals[one.signal]
            sums[one.item] += self._strength(signal, one.amount, stamp // 1000)
            again[one.item] = again.get(one.item, True) and signal.recommend_again
            self._describe(one, stamp // 1000, made)
        for item, amount in sums.items():
            made.rows.append((self._visitor, item, amount, stamp // 1000, again[item], self._identity(stamp, amount)))
        return None

    def _occurrences(self, place: int, signal: Signal) -> Iterator[Occurrence]:
        is_line = signal.item.startswith("items.")
        for line in self._lines if is_line else [None]:
            item, skip = self._value(signal.item, line), None
            amount, fault = self._amount(signal, line)
            if amount is None:
                skip, amount = "no_amount", 0.0
            if signal.max_items is not None and len(self._lines) > signal.max_items:
                skip = "list_of_items"
            if signal.item == "page" and not skip:
                skip = self._rules.of(_array(self._parameter("page_location"))).reasons[0]
            names = {name: name for name in self._source.names_of_no_id}
            names |= {name.replace(" ", "%20"): name for name in names}
            if item in (None, ""):
                skip, item = skip or "no_item", None
            elif item in names:
                skip, item = skip or f"not_an_id.{names[item]}", None
            fault = None if skip else fault or _fault("content_id", item)
            yield Occurrence(place, item, amount, line, is_line, skip, fault)

    def _value(self, name: str, line: dict | None) -> str | None:
        """Return a field as the text of an id."""
        if name.startswith("items."):
            return _text((line or {}).get(name.removeprefix("items.")))
        if name == "page":
            (page,) = self._rules.of(_array(self._parameter("page_location"))).ids.to_pylist()
            return page if page is None else _unbytes(page)
        if name == "screen":
            first = self._known(self._parameter("firebase_screen"))
            return self._known(self._parameter("firebase_screen_class")) if first is None else first
        return self._parameter(name.removeprefix("param."))

    def _parameter(self, name: str) -> str | None:
        value = self._params.get(name) or {}
        texts = (_text(value.get(kind)) for kind in ("string_value", "int_value", "float_value", "double_value"))
        return next((text for text in texts if text is not None), None)

    def _amount(self, signal: Signal, line: dict | None) -> tuple[float | None, str | None]:
        """Return the amount before its weight, None if it is missing, and its fault."""
        if signal.dwell:
            text = self._parameter("engagement_time_msec")
            values, sound = times.durations(_array(text))
            return float(values[0]), None if text is None or sound[0] else "engagement_invalid"
        if signal.amount == "count":
            return 1.0, None
        is_quantity = signal.amount == "quantity"
        text = (line or {}).get("quantity") if is_quantity else self._value(signal.amount, line)
        if text is None:
            return (1.0 if is_quantity else None), None
        number = float(text) if NUMBER.fullmatch(text) else math.nan
        sound = abs(number) < 1e18 and not (is_quantity and number < 0)
        return (number, None) if sound else (0.0, "amount_invalid")

    def _strength(self, signal: Signal, amount: float, time_ms: int) -> float:
        every = self._source.all_signals
        is_minutes = signal.dwell and len({each.dwell for each in every}) > 1
        amount *= signal.weight / 60_000 if is_minutes else signal.weight
        if signal.half_life_days and self._source.end_date:
            end = datetime.datetime.combine(self._source.end_date, datetime.time(), datetime.UTC)
            age_ms = max(0, end.timestamp() * 1000 + 86_400_000 - time_ms)
            amount *= 2 ** (-age_ms / (signal.half_life_days * 86_400_000))
        return float(np.round(amount * STEPS)) / STEPS

    def _describe(self, one: Occurrence, time_ms: int, made: Expected) -> None:
        for name, source in self._source.item_attributes.items():
            only = self._lines[0] if len(self._lines) == 1 else None
            line = one.line if one.is_line else only
            value: Any = (
                (line or {}).get(source.removeprefix("items."))
                if source.startswith("items.")
                else self._value(source, line)
            )
            if isinstance(value, float):
                value = pa.scalar(value).cast(pa.string()).as_py()
            if value is None or value in ("", *self._source.names_of_no_id):
                continue
            rows, last = made.attributes.get((one.item, name, value), (0, 0))
            made.attributes[one.item, name, value] = rows + 1, max(last, time_ms)

    def _identity(self, stamp: int, amount: float) -> tuple:
        record = self._record
        other = record["user_pseudo_id" if self._source.prefer_user_id else "user_id"]
        numbers = (_integer(record[name]) for name in ("event_bundle_sequence_id", "batch_event_index"))
        return record["event_name"], other, stamp, *numbers, struct.pack("d", amount)

    def _known(self, text: str | None) -> str | None:
        return None if text in self._source.names_of_no_id else text


def _array(text: str | None) -> pa.Array:
    return pa.array([text if text is None else _bytes(text)], pa.binary())


def _text(value: str | float | None) -> str | None:
    """Return a value as the text of an id; a float that may have lost digits is of bytes that no id has."""
    if not isinstance(value, float):
        return value
    written = id_of_number(value)
    return None if written is None else _unbytes(written)


def _fault(kind: str, text: str | None) -> str | None:
    if text is None:
        return None
    data = _bytes(text)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return f"{kind}_{'inexact' if data == INEXACT else 'not_utf8'}"
    return f"{kind}_newline" if re.search(rb"[\r\n]", data) else None if data else f"{kind}_empty"


def _integer(text: str | None) -> int:
    """Return an integer of 64 bits, 0 where the text is none."""
    number = int(text.partition(".")[0]) if text and WHOLE.fullmatch(text) and text.isascii() else 0
    return number if -(2**63) < number < 2**63 else 0


def _shown(name: str | None) -> str:
    return _bytes(name or "")[:100].decode("utf-8", "backslashreplace")


def _bytes(text: str) -> bytes:
    """Return text in bytes, as the readers do: with surrogates of bytes that are not UTF-8, or that JSON wrote."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _unbytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
