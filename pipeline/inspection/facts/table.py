"""Facts of a plain table: its columns, and which of them look like ids, times, ratings or durations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from configs.settings import SourceSettings
from pipeline.inspection.facts.measures import Candidate, Column, Facts, coded, measure, repeats, returning
from pipeline.inspection.sampling.files import Sample
from pipeline.sources import columns, times

_NAMES = {
    "visitor": r"(full|pseudo)?_?(visitor|user|member|customer|client|account|reader|subscriber|person|uid|buyer)",
    "item": r"(content|item|article|product|movie|film|sku|isbn|song|track|album|artist|business|book|asin|post|story|"
    r"video|news|doc|recipe|listing|place|location|poi|course|game|title_?id)",
    "time": r"(.*_)?(time|timestamp|ts|date|day|created|seen|when|at)(_?(s|ms|us|ns))?",
    "rating": r"(.*_)?(rating|stars?|score|grade|liked?|thumbs?|vote|feedback|answer|opinion|weight|count|views|plays)",
    "duration": r".*(dwell|dur|elapsed|engag|listened|watched|spent|read_?time|ms_played)",
}
_WORD = re.compile(r"[^a-z0-9]+")
_MOST = 0.95  # of the values of a column, so that it is one of times or numbers
_UNNAMED, _FEW = re.compile(r"column\d+"), 11  # values of a rating in a file without names
_MOST_RATINGS = 200  # distinct values of a rating


@dataclass(frozen=True)
class Roles:
    """The columns that the settings of a table name; None where no column looks like one."""

    visitor: str | None
    item: str | None
    time: str | None = None
    time_unit: str | None = None
    rating: str | None = None
    answers: tuple[str, ...] = ()
    duration: str | None = None
    guessed: bool = False


class _Look:
    """One column: its values as ids, and what they can be."""

    def __init__(self, name: str, arrays: Sequence[pa.Array]):
        self.name = name
        self.kind = arrays[0].type
        column = pa.chunked_array(arrays, self.kind) if len({array.type for array in arrays}) == 1 else None
        self.column = column.combine_chunks() if column is not None else pa.nulls(sum(map(len, arrays)))
        self.rows = len(self.column)
        self.ids = self._as_ids()
        self.codes, self.texts = coded(self.ids)
        self.filled = float(np.isin(self.codes, self._empty(), invert=True).mean())
        self.numbers, self.is_number = self._as_numbers()
        self.is_numeric = self._most(self.is_number)
        self.time_unit = self._time_unit()

    def _as_ids(self) -> pa.BinaryArray:
        if pa.types.is_nested(self.kind):
            return pa.nulls(self.rows, pa.binary())
        is_temporal = pa.types.is_temporal(self.kind)
        return self.column.cast(pa.string()).cast(pa.binary()) if is_temporal else columns.ids(self.column)

    def _as_numbers(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            return columns.floats(self.column)
        except (pa.ArrowException, ValueError):
            return np.zeros(self.rows), np.zeros(self.rows, bool)

    def _empty(self) -> list[int]:
        return [-1, *(place for place, text in enumerate(self.texts) if text == "")]

    def _most(self, mask: np.ndarray) -> bool:
        """Return whether a mask is true for nearly all values that are not empty."""
        filled = ~np.isin(self.codes, self._empty())
        return bool(filled.any() and mask[filled].mean() >= _MOST)

    def _time_unit(self) -> str | None:
        """Return the unit of times that are numbers, `auto` for other times, None for a column that has none."""
        if pa.types.is_temporal(self.kind):
            return None if pa.types.is_time(self.kind) or pa.types.is_duration(self.kind) else "auto"
        if pa.types.is_boolean(self.kind) or pa.types.is_nested(self.kind):
            return None
        _, sound = times.milliseconds(self.column, None)
        if self.is_numeric:
            for unit, count in times.units(self.column).most_common(1):
                if unit != times.NO_UNIT and count >= _MOST * max(1, int(self.is_number.sum())):
                    return unit
            whole = self.numbers[self.is_number]
            return "auto" if self._most(sound) and len(whole) and (whole > 19700101).all() and _dates(whole) else None
        return "auto" if self._most(sound) else None


def _dates(numbers: np.ndarray) -> bool:
    return bool(((numbers < 20991231) & (numbers % 100 <= 31) & (numbers // 100 % 100 <= 12)).all())


def facts_of(sample: Sample) -> tuple[Facts, Roles]:
    """Return the facts of a sample of rows, and the columns to name in the settings."""
    batches = [raw.columns for _, raw in sample.batches]
    looks = [_Look(name, [batch.column(name) for batch in batches]) for name in sample.columns]
    roles = _roles(looks)
    by_name = {look.name: look for look in looks}
    visitor, item = by_name.get(roles.visitor or ""), by_name.get(roles.item or "")
    facts = Facts("table", "rows", rows=looks[0].rows)
    named = {getattr(roles, role): role for role in ("visitor", "item", "time", "rating", "duration")}
    facts.columns = [_describe(look, named.get(look.name, "")) for look in looks]
    if visitor is None or item is None:
        return facts, roles
    names = SourceSettings(kind="table").names_of_no_id
    no_visitor = np.array([text in (*names, "") for text in visitor.texts] + [True], bool)
    visitors = np.where(no_visitor[visitor.codes], -1, visitor.codes)
    facts.visitors, facts.anonymous = len(np.unique(visitors[visitors >= 0])), float((visitors < 0).mean())
    keys = [visitors, item.codes]
    if roles.time:
        unit = roles.time_unit if roles.time_unit != "auto" else None
        stamps, sound = times.milliseconds(by_name[roles.time].column, unit)
        days, texts = coded(times.days_of(stamps[sound]).dictionary_decode())
        of_row = np.full(len(stamps), -1)
        of_row[sound] = days
        facts.days, facts.returning = sorted(texts), returning(visitors, of_row)
        keys.append(stamps)
    facts.duplicates = repeats(*keys)
    facts.candidates = [_candidate(item, visitors, names)]
    return facts, roles


def _candidate(item: _Look, visitors: np.ndarray, names: Sequence[str]) -> Candidate:
    return measure(item.name, np.arange(item.rows), visitors, item.ids, names, item.rows)


def _describe(look: _Look, role: str) -> Column:
    text = role
    if look.time_unit and role in ("", "time"):
        text = "time" if look.time_unit == "auto" else f"time in {look.time_unit}"
    value_type = look.kind.value_type if pa.types.is_dictionary(look.kind) else look.kind
    kind = "text" if columns.is_text(value_type) else str(value_type)
    if kind == "text" and look.is_numeric:
        kind = "digits"
    return Column(look.name, kind, float(look.filled), sum(text != "" for text in look.texts), text)


def _roles(looks: Sequence[_Look]) -> Roles:
    """Choose the columns by their names, then by their values."""
    usable = [look for look in looks if not pa.types.is_nested(look.kind) and look.filled]
    times_ = [look for look in usable if look.time_unit]
    time = _best("time", times_) or next((look for look in times_ if not _is_named(look)), None)
    rest = [look for look in usable if look is not time]
    rating = _best("rating", [look for look in rest if len(look.texts) <= _MOST_RATINGS])
    duration = _best("duration", [look for look in rest if look.is_numeric and look is not rating])
    if all(_UNNAMED.fullmatch(look.name) for look in looks):
        few = [look for look in usable[2:] if look is not time and look.is_numeric and len(look.texts) > 1]
        rating = min((look for look in few if len(look.texts) <= _FEW), key=lambda look: len(look.texts), default=None)
    rest = [look for look in rest if look not in (rating, duration) and look not in times_]
    visitor = _best("visitor", rest)
    item = _best("item", [look for look in rest if look is not visitor])
    others = [look for look in rest if look not in (visitor, item) and len(look.texts) > 1]
    guessed = False
    if visitor is None and others and (item is None or len(item.texts) < item.rows):
        visitor, guessed = others.pop(0), True
    if item is None and visitor is not None and others:
        item, guessed = others[0], True
    return Roles(
        visitor.name if visitor else None,
        item.name if item else None,
        time.name if time else None,
        time.time_unit if time else None,
        rating.name if rating else None,
        tuple(rating.texts) if rating and not rating.is_numeric else (),
        duration.name if duration and not rating else None,
        guessed,
    )


def _is_named(look: _Look) -> bool:
    return any(_matches(role, look.name) for role in ("visitor", "item", "rating", "duration"))


def _matches(role: str, name: str) -> bool:
    words = _WORD.sub("_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    return re.match(_NAMES[role] + ("$" if role in ("time", "rating") else ""), words) is not None


def _best(role: str, looks: Sequence[_Look]) -> _Look | None:
    """Return the column whose name fits a role, the shortest name first; an id before what describes it."""
    fitting = [look for look in looks if _matches(role, look.name)]
    is_id = re.compile(r"(id|key|code|no|number|sku|isbn|asin)$", re.IGNORECASE)
    return min(fitting, key=lambda look: (not is_id.search(look.name), len(look.texts) < 2), default=None)
