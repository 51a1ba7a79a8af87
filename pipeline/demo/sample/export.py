"""Writes the visits of the sample as daily export files."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.sample.catalogue import Catalogue, visitor_ids
from pipeline.demo.sample.files import FORMATS, OutputDirectory, RowWriter
from pipeline.demo.sample.rows import Block, Ga4, Ga360
from pipeline.demo.sample.visits import Size, activity, make_steps

_TABLES: dict[str, tuple[type[Ga360 | Ga4], str]] = {"ga360": (Ga360, "ga_sessions_"), "ga4": (Ga4, "events_")}
_OPEN_FILES = 96
_SESSIONS_AT_ONCE = 1000


@dataclass(frozen=True)
class Plan:
    """Which exports to write, and in how many files a day."""

    layouts: tuple[str, ...]
    formats: tuple[str, ...]
    files_per_day: int

    def file_name(self, layout: str, form: str, day: datetime.date, part: int) -> str:
        """`ga360/ga_sessions_20240101.ndjson.gz`; another format has a folder of its own."""
        folder = layout if form == "ndjson" else f"{layout}-{form}"
        part_name = f"-{part:012d}" if self.files_per_day > 1 else ""
        return f"{folder}/{_TABLES[layout][1]}{day:%Y%m%d}{part_name}{FORMATS[form][1]}"


def write_exports(
    output: OutputDirectory,
    size: Size,
    catalogue: Catalogue,
    plan: Plan,
    step: Callable[[], None],
    day_done: Callable[[datetime.date, Counter[str]], None],
) -> None:
    """Writes all files. `step` is called for each block and day, `day_done` when a day's files are whole.

    As many days are written at once as files may be open; their blocks are made again for the next days.
    """
    # JSON carries INT64 as strings. One renderer serves all formats that take the same rows.
    renderers = [
        (_TABLES[layout][0](catalogue, str if text else int), layout, forms)
        for layout in plan.layouts
        for text in (True, False)
        if (forms := [form for form in plan.formats if (form == "ndjson") == text])
    ]
    reading = activity(size)
    at_once = max(1, _OPEN_FILES // (len(plan.layouts) * len(plan.formats) * plan.files_per_day))
    for first in range(0, size.days, at_once):
        days = range(first, min(first + at_once, size.days))
        counts = {day: Counter[str]() for day in days}
        with contextlib.ExitStack() as stack:
            files = _open(stack, output, size, plan, days)
            for number in range(size.blocks):
                steps = make_steps(size, catalogue, number, reading)
                block = Block(steps, visitor_ids(*size.block(number), size.seed), (size.seed, number))
                for day in days:
                    for part, sessions in enumerate(_parts(block, day, plan.files_per_day)):
                        for renderer, layout, forms in renderers:
                            writers = [files[layout, form, day, part] for form in forms]
                            counted = counts[day] if plan.formats[0] in forms else Counter[str]()
                            _write(renderer, block, sessions, writers, counted)
                    step()
        for day in days:
            day_done(day_of(size, day), counts[day])


def _open(
    stack: contextlib.ExitStack, output: OutputDirectory, size: Size, plan: Plan, days: range
) -> dict[tuple[str, str, int, int], RowWriter]:
    files: dict[tuple[str, str, int, int], RowWriter] = {}
    for layout in plan.layouts:
        for form in plan.formats:
            for day in days:
                for part in range(plan.files_per_day):
                    path = output.add(plan.file_name(layout, form, day_of(size, day), part))
                    writer = FORMATS[form][0](path, _TABLES[layout][0].fields)
                    files[layout, form, day, part] = stack.enter_context(contextlib.closing(writer))
    return files


def _parts(block: Block, day: int, parts: int) -> Iterator[list[int]]:
    """The visits of one day, split over its files: each visitor's move to another file every day."""
    sessions = np.flatnonzero(block.day == day)
    visitors = np.asarray(block.visitor)[sessions]
    for part in range(parts):
        yield sessions[(visitors + day) % parts == part].tolist()


def _write(
    renderer: Ga360 | Ga4,
    block: Block,
    sessions: Sequence[int],
    writers: Sequence[RowWriter],
    count: Counter[str],
) -> None:
    for begin in range(0, len(sessions), _SESSIONS_AT_ONCE):
        rows = list(renderer.rows(block, sessions[begin : begin + _SESSIONS_AT_ONCE]))
        count.update(renderer.count(rows))
        for writer in writers:
            writer.write(rows)


def day_of(size: Size, day: int) -> datetime.date:
    """The date of day 0, 1, 2, ... of the sample."""
    return (datetime.datetime.fromtimestamp(size.start_s, datetime.UTC) + datetime.timedelta(days=day)).date()
