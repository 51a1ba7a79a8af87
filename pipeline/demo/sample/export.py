"""The visits of a sample as daily export files."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.sample.catalogue import Catalogue, visitor_ids
from pipeline.demo.sample.formats import FORMATS, RowWriter
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.rows import Block, Ga4, Ga360
from pipeline.demo.sample.visits import Size, activity, make_steps

_LAYOUTS: dict[str, type[Ga360 | Ga4]] = {"ga360": Ga360, "ga4": Ga4}
_SESSIONS_AT_ONCE = 1000

Files = dict[tuple[str, str, int, int], RowWriter]  # by layout, format, day and part


@dataclass(frozen=True)
class Plan:
    """The layouts and formats to write, the files per day, and how many files may be open at once."""

    layouts: tuple[str, ...]
    formats: tuple[str, ...]
    files_per_day: int
    open_files: int = 96

    @property
    def days_at_once(self) -> int:
        return max(1, self.open_files // (len(self.layouts) * len(self.formats) * self.files_per_day))

    def file_name(self, layout: str, form: str, day: datetime.date, part: int) -> str:
        """Return a name such as `ga360/ga_sessions_20240101.ndjson.gz`; other formats have folders of their own."""
        folder = layout if form == "ndjson" else f"{layout}-{form}"
        part_name = f"-{part:012d}" if self.files_per_day > 1 else ""
        return f"{folder}/{_LAYOUTS[layout].table}{day:%Y%m%d}{part_name}{FORMATS[form][1]}"


@dataclass(frozen=True)
class _Renderer:
    """A layout's rows for the formats that take the same rows; only one renderer of a layout counts them."""

    rows: Ga360 | Ga4
    layout: str
    formats: list[str]
    counts: bool


def write_exports(
    output: OutputDirectory,
    size: Size,
    catalogue: Catalogue,
    plan: Plan,
    block_done: Callable[[], None],
    day_done: Callable[[datetime.date, Counter[str]], None],
) -> None:
    """Write all files.

    As many days are written at once as files may be open; the blocks of visits are made again for the next days.

    Args:
        block_done: called for each block and day. day_done: called with a day's counts when its files are complete.
    """
    renderers = list(_renderers(catalogue, plan))
    reading = activity(size)
    for first in range(0, size.days, plan.days_at_once):
        days = range(first, min(first + plan.days_at_once, size.days))
        counts = {day: Counter[str]() for day in days}
        with contextlib.ExitStack() as stack:
            files = _open(stack, output, size, plan, days)
            for number in range(size.blocks):
                steps = make_steps(size, catalogue, number, reading)
                block = Block(steps, visitor_ids(*size.block(number), size.seed), (size.seed, number))
                for day in days:
                    for part, sessions in enumerate(_parts(block, day, plan.files_per_day)):
                        for renderer in renderers:
                            writers = [files[renderer.layout, form, day, part] for form in renderer.formats]
                            counts[day].update(_write(renderer, block, sessions, writers))
                    block_done()
        for day in days:
            day_done(day_of(size, day), counts[day])


def _renderers(catalogue: Catalogue, plan: Plan) -> Iterator[_Renderer]:
    """Yield a renderer per layout and kind of number: JSON carries INT64 as strings."""
    for layout in plan.layouts:
        for number in (str, int):
            formats = [form for form in plan.formats if (form == "ndjson") == (number is str)]
            if formats:
                yield _Renderer(_LAYOUTS[layout](catalogue, number), layout, formats, plan.formats[0] in formats)


def _open(stack: contextlib.ExitStack, output: OutputDirectory, size: Size, plan: Plan, days: range) -> Files:
    files: Files = {}
    for layout in plan.layouts:
        for form in plan.formats:
            for day in days:
                for part in range(plan.files_per_day):
                    path = output.add(plan.file_name(layout, form, day_of(size, day), part))
                    writer = FORMATS[form][0](path, _LAYOUTS[layout].schema)
                    files[layout, form, day, part] = stack.enter_context(contextlib.closing(writer))
    return files


def _parts(block: Block, day: int, parts: int) -> Iterator[list[int]]:
    """Yield the visits of one day, file by file; a visitor's visits move to another file every day."""
    sessions = np.flatnonzero(block.day == day)
    visitors = np.asarray(block.visitor)[sessions]
    for part in range(parts):
        yield sessions[(visitors + day) % parts == part].tolist()


def _write(renderer: _Renderer, block: Block, sessions: Sequence[int], writers: Sequence[RowWriter]) -> Counter[str]:
    """Write some visits to the files of all formats, and return the renderer's counts."""
    counts: Counter[str] = Counter()
    for begin in range(0, len(sessions), _SESSIONS_AT_ONCE):
        rows = list(renderer.rows.rows(block, sessions[begin : begin + _SESSIONS_AT_ONCE]))
        if renderer.counts:
            counts.update(renderer.rows.count(rows))
        for writer in writers:
            writer.write(rows)
    return counts


def day_of(size: Size, day: int) -> datetime.date:
    """Return the date of day 0, 1, 2, ... of the sample."""
    return (datetime.datetime.fromtimestamp(size.start_s, datetime.UTC) + datetime.timedelta(days=day)).date()
