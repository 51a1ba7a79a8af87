"""A sample: Google Analytics exports of an imaginary magazine and its shop.

Visitors have favourite categories and topics; items and visitors are long-tailed; and the visits contain what real ones
do: home pages, events, repeated views, views spread over visits and days, last pages without dwell. All layouts and
formats describe the same visits, and samples of the same size have the same bytes.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts.names import CONTENT_ID, VISITOR_ID
from artifacts.paths import shard_name
from configs import cli
from configs.errors import UserError
from pipeline.demo.sample.catalogue import Catalogue, make_catalogue, visitor_ids
from pipeline.demo.sample.formats import FORMATS, RowWriter
from pipeline.demo.sample.layouts import Ga4Pages, Ga4Shop, Ga360Pages, Ga360Shop
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.rows import Block, Ga4, Ga360
from pipeline.demo.sample.visits import HOME, Size, Steps, activity, make_steps

_MAGAZINE: dict[str, type[Ga360 | Ga4]] = {"ga360": Ga360, "ga4": Ga4}
# The others are named for the presets that read them.
EXPORTS = {
    **_MAGAZINE,
    "ga360_pages": Ga360Pages,
    "ga4_pages": Ga4Pages,
    "ga360_shop": Ga360Shop,
    "ga4_shop": Ga4Shop,
}
TABLE = "table"
LAYOUTS = (*EXPORTS, TABLE)
_ITEMS_PER_VISITOR = 17.5  # where the catalogue is large enough
_SESSIONS_AT_ONCE = 1000
_TABLE_ROWS_PER_FILE = 2_500_000
_TIME = pa.timestamp("us", tz="UTC")
TABLE_SCHEMA = pa.schema({VISITOR_ID: pa.string(), CONTENT_ID: pa.string(), "duration_ms": pa.int64(), "time": _TIME})


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


@dataclass
class Report:
    """The numbers that were written; `total` counts sessions, hits and events of all days, and the table's rows."""

    total: Counter[str] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


def size_from(
    visitors: int, items: int, days: int, interactions: int | None, start_date: datetime.date, seed: int
) -> Size:
    """Return the size of a sample; without `interactions`, visitors read as many items as suits the catalogue."""
    if interactions is None:
        interactions = round(visitors * min(_ITEMS_PER_VISITOR, max(1.0, items / 8)))
    size = Size(visitors, items, days, interactions, start_date, seed)
    most = visitors * max(1, size.cap // 2)
    if not visitors <= interactions <= most:
        raise UserError(
            f"--interactions {interactions} does not fit {visitors} visitors and {items} items: "
            f"choose {visitors} to {most}, or change --visitors or --items"
        )
    return size


def make_sample(output_dir: str, size: Size, plan: Plan, replace: bool = False) -> Report:
    """Write a sample into a directory, which is empty unless the files of a sample in it may be replaced."""
    started, report = time.perf_counter(), Report()
    output = OutputDirectory(output_dir, replace)
    catalogue = make_catalogue(size.items, size.seed)
    steps = size.blocks * (bool(plan.exports) * size.days + (TABLE in plan.layouts))
    with cli.progress(f"sample in {output_dir}", steps, stderr=True) as bar, output.open():
        Path(output.add("catalogue.csv")).write_bytes(catalogue.csv())
        exports = write_exports(output, size, catalogue, plan, bar.say) if plan.exports else ()
        table = write_table(output, size, catalogue) if TABLE in plan.layouts else ()
        for done, counts in enumerate(itertools.chain(exports, table), 1):
            report.total += counts
            bar.update(done)
        report.bytes = output.publish(
            {
                "made_by": "pipeline.sample",
                "seed": size.seed,
                "start_date": size.start_date.isoformat(),
                "days": size.days,
                "visitors": size.visitors,
                "items": size.items,
                **report.total,
            }
        )
    report.files, report.seconds = len(output.names), time.perf_counter() - started
    return report


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


def write_table(output: OutputDirectory, size: Size, catalogue: Catalogue) -> Iterator[Counter[str]]:
    """Write `table/interactions-*.parquet`; yield the number of interactions of each block."""
    files = int(np.clip(-(-size.interactions // _TABLE_ROWS_PER_FILE), 1, size.blocks))
    items, reading = pa.array(catalogue.content_ids), activity(size)
    for number in range(files):
        path = output.add(f"table/{shard_name('interactions', number, files, '.parquet')}")
        with pq.ParquetWriter(path, TABLE_SCHEMA, compression="snappy") as writer:
            for block in range(number * size.blocks // files, (number + 1) * size.blocks // files):
                visitors = pa.array(visitor_ids(*size.block(block), size.seed))
                table = interactions(make_steps(size, catalogue, block, reading), visitors, items)
                writer.write_table(table)
                yield Counter(interactions=table.num_rows)


def interactions(steps: Steps, visitors: pa.Array, items: pa.Array) -> pa.Table:
    """Return the interactions of a block, with the time of the last view, which may be one without dwell."""
    read = steps.pair >= 0
    duration_ms = np.bincount(steps.pair[read], steps.dwell_ms[read], len(steps.pairs)).astype(np.int64)
    view = np.flatnonzero(steps.item != HOME)
    keys = steps.pairs[:, 0] * len(items) + steps.pairs[:, 1]
    order = np.argsort(keys)
    key = steps.visitor[steps.session[view]] * len(items) + steps.item[view]
    row = order[np.searchsorted(keys, key, sorter=order).clip(max=len(keys) - 1)]
    known = keys[row] == key
    last_ms = np.zeros(len(keys), np.int64)
    np.maximum.at(last_ms, row[known], steps.opened_ms[view[known]])
    columns = [
        visitors.take(pa.array(steps.pairs[:, 0])),
        items.take(pa.array(steps.pairs[:, 1])),
        pa.array(duration_ms),
        pa.array(last_ms * 1000).cast(_TIME),
    ]
    return pa.Table.from_arrays(columns, schema=TABLE_SCHEMA)
