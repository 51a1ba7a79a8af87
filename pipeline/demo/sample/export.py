"""The visits of a sample as daily export files."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.demo.sample.catalogue import Catalogue, visitor_ids
from pipeline.demo.sample.formats import FORMATS, RowWriter
from pipeline.demo.sample.layouts import Ga4Pages, Ga4Shop, Ga360Pages, Ga360Shop
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.rows import Block, Ga4, Ga360
from pipeline.demo.sample.visits import Size, activity, make_steps

_MAGAZINE: dict[str, type[Ga360 | Ga4]] = {"ga360": Ga360, "ga4": Ga4}
# The others are named for the presets that read them.
EXPORTS = {
    **_MAGAZINE,
    "ga360_pages": Ga360Pages,
    "ga4_pages": Ga4Pages,
    "ga360_shop": Ga360Shop,
    "ga4_shop": Ga4Shop,
}
_SESSIONS_AT_ONCE = 1000


@dataclass(frozen=True)
class Plan:
    """The layouts and formats to write, the files per day, and how many files may be open at once."""

    layouts: tuple[str, ...]
    formats: tuple[str, ...]
    files_per_day: int
    open_files: int = 96

    @property
    def exports(self) -> list[str]:
        """The layouts that have a file per day; the others are tables."""
        return [layout for layout in self.layouts if layout in EXPORTS]

    def file_name(self, layout: str, form: str, day: datetime.date, part: int) -> str:
        """Return a name such as `ga360/ga_sessions_20240101.ndjson.gz`; other formats have folders of their own."""
        folder = layout if form == "ndjson" else f"{layout}-{form}"
        part_name = f"-{part:012d}" if self.files_per_day > 1 else ""
        return f"{folder}/{EXPORTS[layout].table}{day:%Y%m%d}{part_name}{FORMATS[form][1]}"


def write_exports(
    output: OutputDirectory, size: Size, catalogue: Catalogue, plan: Plan, say: Callable[[str], None]
) -> Iterator[Counter[str]]:
    """Write all files; yield the counts of each block on each day, and `say` a line when a day's files are complete.

    As many days are written at once as files may be open; the blocks of visits are made again for the next days.
    """
    # JSON carries INT64 as strings.
    layouts = {
        (layout, form): EXPORTS[layout](catalogue, str if form == "ndjson" else int)
        for layout, form in itertools.product(plan.exports, plan.formats)
    }
    reading, parts = activity(size), range(plan.files_per_day)
    days_at_once = max(1, plan.open_files // (len(layouts) * len(parts)))
    for first in range(0, size.days, days_at_once):
        days = range(first, min(first + days_at_once, size.days))
        of_day = {day: Counter[str]() for day in days}
        with contextlib.ExitStack() as stack:
            writers = {}
            for (layout, form), day, part in itertools.product(layouts, days, parts):
                path = output.add(plan.file_name(layout, form, size.date(day), part))
                writer = FORMATS[form][0](path, EXPORTS[layout].schema)
                writers[layout, form, day, part] = stack.enter_context(contextlib.closing(writer))
            for number in range(size.blocks):
                steps = make_steps(size, catalogue, number, reading)
                block = Block(steps, visitor_ids(*size.block(number), size.seed), (size.seed, number))
                for day in days:
                    counts = Counter[str]()
                    for (layout, form), part in itertools.product(layouts, parts):
                        sessions = block.sessions(day, part, len(parts))
                        written = _write(layouts[layout, form], block, sessions, writers[layout, form, day, part])
                        if form == plan.formats[0]:
                            prefix = "" if layout in _MAGAZINE else f"{layout} "
                            counts.update({prefix + name: count for name, count in written.items()})
                    of_day[day].update(counts)
                    yield counts
        for day, counts in of_day.items():
            say(f"{size.date(day)}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


def _write(layout: Ga360 | Ga4, block: Block, sessions: list[int], writer: RowWriter) -> Counter[str]:
    """Write some visits to a file, and return the layout's counts."""
    counts: Counter[str] = Counter()
    for begin in range(0, len(sessions), _SESSIONS_AT_ONCE):
        rows = list(layout.rows(block, sessions[begin : begin + _SESSIONS_AT_ONCE]))
        writer.write(rows)
        counts.update(layout.count(rows))
    return counts
