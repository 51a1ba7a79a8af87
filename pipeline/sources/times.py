"""Times and days of every writer -> int64 since 1970 with a mask of the valid rows.

One rule for all sources and formats: what visitors do has a time from 1990 to 2099. Others, such as 0, 1970-01-01 and
9999-12-31, stand for a missing time or are in another unit, and are invalid. Attributes of items may be older.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import DAY_MS, DAY_SECONDS
from pipeline.sources import columns

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_YEAR_1990, _YEAR_2100, _YEAR_10000 = 631_152_000, 4_102_444_800, 253_402_300_800  # in seconds since 1970
_FIRST_DAY, _LAST_DAY = "19900101", "20991231"
_FIRST_DATE, _LAST_DATE = 1970_01_01, 2099_12_31  # numbers that are dates, and with the clock behind them
_CLOCK = 1_000_000
NO_UNIT = "none"
_NUMBER = re.compile(r" *[-+]?[0-9]+(?:[.][0-9]*)?(?:[eE][-+]?[0-9]+)? *")
_ZONE = re.compile(r" ?(?:UTC|Z|GMT)$", re.IGNORECASE)


def since_1970(column: pa.Array, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Return times in a unit, from integers in that unit, whole floats, digits, ISO 8601 text, or timestamps.

    They are int64[n], and bool[n]: true for a time from 1990 to 2099; other times are 0.
    """
    column = columns.plain(column)
    if pa.types.is_temporal(column.type):
        values, sound = _of_timestamps(column, unit)
    else:
        values, sound = columns.integers(column)
        if not sound.all() and columns.is_text(column.type):
            values, sound = _with_parsed(column, values.copy(), sound.copy(), lambda value: _parsed(value, unit, unit))
    return _where(values, sound & _is_of_today(values, unit))


def durations(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return durations in ms, from integers, whole floats or digits.

    They are int64[n], and bool[n]: true from 0 to 8,000 years, so that sums stay below 2^63; other durations are 0.
    """
    values, sound = columns.integers(columns.plain(column))
    return _where(values, sound & _is_of_any_year(values, "ms"))


def milliseconds(column: pa.Array, unit: str | None, any_year: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return times in ms since 1970, from timestamps, dates, ISO 8601 text, YYYYMMDD, or numbers in a unit.

    Args:
        unit: of numbers: s, ms, us or ns; without one, they are in ms, or dates as YYYYMMDD, also with the clock as
            HHMMSS behind them.
        any_year: times from 1970 to 9999 are valid if they are not numbers, as attributes of items are.

    Returns:
        int64[n], and bool[n]: true for a time from 1990 to 2099; other times are 0.
    """
    column = columns.plain(column)
    if pa.types.is_temporal(column.type):
        values, sound = _of_timestamps(column, "ms")
    else:
        values, sound = _of_numbers(*columns.integers(column), unit)
        if not sound.all() and not pa.types.is_null(column.type):
            values, sound = _with_parsed(column, values, sound, lambda value: _parsed(value, unit, "ms"))
    return _where(values, sound & (_is_of_any_year(values, "ms") if any_year else _is_of_today(values, "ms")))


def _with_parsed(
    column: pa.Array, values: np.ndarray, sound: np.ndarray, parse: Callable[[object], int | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and which are sound with those, among the others, that can be parsed; each value is parsed once."""
    column = column.cast(pa.float64()) if pa.types.is_floating(column.type) else column
    rest = column.filter(pa.array(~sound)).dictionary_encode()
    parsed = [parse(value) for value in rest.dictionary.to_pylist()]
    codes = rest.indices.fill_null(len(parsed)).to_numpy()
    known = np.array([value is not None for value in parsed] + [False])
    values[~sound] = np.array([value or 0 for value in parsed] + [0], np.int64)[codes]
    sound[~sound] = known[codes]
    return values, sound


def units(column: pa.Array) -> Counter[str]:
    """Count the units in which numbers would be times from 1990 to 2099: to propose one where another is wrong.

    NO_UNIT counts numbers that are such times in no unit, and not dates either; and timestamps of other years.
    """
    column = columns.plain(column)
    if pa.types.is_temporal(column.type):
        is_other = column.is_valid().to_numpy(zero_copy_only=False) & ~milliseconds(column, None)[1]
        return Counter({NO_UNIT: int(is_other.sum())})
    values, sound = columns.integers(column)
    counts, is_known = Counter[str](), ~sound | _is_date(values) | _is_date(values // _CLOCK)
    for unit in PER_SECOND:
        is_of_unit = sound & _is_of_today(values, unit)
        counts[unit] = int(is_of_unit.sum())
        is_known |= is_of_unit
    counts[NO_UNIT] = int((~is_known).sum())
    return counts


def units_where(column: pa.Array, is_time: np.ndarray, due: str) -> Counter[str]:
    """Count the times of a column, bool[n], in the unit that is due, and the others in `units`."""
    if is_time.all():
        return Counter({due: len(is_time)})
    return units(column.filter(pa.array(~is_time))) + Counter({due: int(is_time.sum())})


def _is_of_today(values: np.ndarray, unit: str) -> np.ndarray:
    """Return which numbers are times from 1990 to 2099 in a unit, bool[n]."""
    per = PER_SECOND[unit]
    return (values >= _YEAR_1990 * per) & (values < _YEAR_2100 * per)


def _is_of_any_year(values: np.ndarray, unit: str) -> np.ndarray:
    """Return which numbers are times from 1970 to 9999 in a unit, bool[n]."""
    return (values >= 0) & (values < min(_YEAR_10000 * PER_SECOND[unit], (1 << 63) - 1))


def _where(values: np.ndarray, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(sound, values, 0), sound


def _is_date(values: np.ndarray) -> np.ndarray:
    return (values >= _FIRST_DATE) & (values <= _LAST_DATE)


def days(column: pa.Array) -> pa.DictionaryArray:
    """Return days from 1990 to 2099 as YYYYMMDD, from such text or numbers, ISO 8601, or dates; others are null."""
    if pa.types.is_temporal(column.type):
        seconds, sound = _of_timestamps(column, "s")
        stamps = pa.array(seconds, pa.timestamp("s"), mask=~sound)
        column = pc.strftime(stamps, format="%Y%m%d").cast(pa.binary())
    coded = columns.coded_ids(column)
    texts = [_day(value) for value in coded.dictionary.to_pylist()]
    compact = pa.array(texts, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(compact.indices.take(coded.indices), compact.dictionary)


def _day(value: bytes) -> str | None:
    text = value.decode("utf-8", "replace")
    date, clock = text[: len("YYYY-MM-DD")], text[len("YYYY-MM-DD") :]
    try:
        if len(text) == len("YYYYMMDD"):
            day = datetime.datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d") if text.isdecimal() else ""
        else:
            day = datetime.date.fromisoformat(date).strftime("%Y%m%d") if clock[:1] in ("", " ", "T", "t") else ""
    except ValueError:
        return None
    return day if _FIRST_DAY <= day <= _LAST_DAY else None


def days_of(times: np.ndarray) -> pa.DictionaryArray:
    """Return the day of each time in UTC, YYYYMMDD; each day is formatted once, not once per row."""
    coded = pa.array(times - times % DAY_MS, pa.timestamp("ms")).dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices, pc.strftime(coded.dictionary, format="%Y%m%d"))


def _of_timestamps(column: pa.Array, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Return timestamps and dates in a unit; their range is checked before a conversion could exceed 64 bits."""
    kind = column.type
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    is_days = pa.types.is_date32(kind)
    numbers = column.cast(pa.int32() if is_days else pa.int64()).cast(pa.int64()).fill_null(0).to_numpy()
    written = "s" if is_days else "ms" if pa.types.is_date64(kind) else kind.unit
    numbers = numbers * DAY_SECONDS if is_days else numbers
    is_valid = column.is_valid().to_numpy(zero_copy_only=False)
    values, sound = _where(numbers, is_valid & _is_of_any_year(numbers, written))
    have, want = PER_SECOND[written], PER_SECOND[unit]
    return (values * (want // have) if want > have else values // (have // want)), sound


def _of_numbers(values: np.ndarray, sound: np.ndarray, unit: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Convert numbers to ms; without a unit, those of no year from 1990 to 2099 are invalid."""
    values, sound = values.copy(), sound.copy()
    if unit == "s":
        sound &= np.abs(values) < _YEAR_10000
        return np.where(sound, values, 0) * 1000, sound
    if unit:
        return values // (PER_SECOND[unit] // 1000), sound
    is_time = _is_of_today(values, "ms")
    for maybe_dates, form in ((_is_date(values), "%Y%m%d"), (_is_date(values // _CLOCK), "%Y%m%d%H%M%S")):
        if (maybe_dates := maybe_dates & sound).any():
            texts = pa.array(values[maybe_dates]).cast(pa.string())
            stamps = pc.strptime(texts, form, "ms", error_is_null=True).cast(pa.int64())
            values[maybe_dates] = stamps.fill_null(0).to_numpy()
            is_time[maybe_dates] = stamps.is_valid().to_numpy(zero_copy_only=False)
    return values, sound & is_time


def _parsed(value: object, unit: str | None, wanted: str) -> int | None:
    """Return a time in a wanted unit that is not an integer: ISO 8601 text, in UTC if without a zone, or a fraction.

    unit: of the fraction, which is a time from 1990 to 2099; without one, it is in the wanted unit.
    """
    if value is None or isinstance(value, bool):
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if _NUMBER.fullmatch(text):
        number = Decimal(text.strip()) * PER_SECOND[wanted] / PER_SECOND[unit or wanted]
        is_of_today = _YEAR_1990 * PER_SECOND[wanted] <= number < _YEAR_2100 * PER_SECOND[wanted]
        return int(number // 1) if is_of_today else None
    try:
        time = datetime.datetime.fromisoformat(_ZONE.sub("+00:00", text.strip()))
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    microseconds = (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
    return microseconds * PER_SECOND[wanted] // PER_SECOND["us"]
