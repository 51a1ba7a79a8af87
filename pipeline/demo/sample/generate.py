"""A sample: Google Analytics exports of an imaginary magazine.

Visitors have favourite categories and topics; items and visitors are long-tailed; and the visits contain what real ones
do: home pages, events, repeated views, views spread over visits and days, last pages without dwell. All layouts and
formats describe the same visits, and samples of the same size have the same bytes.
"""

from __future__ import annotations

import datetime
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from configs import cli
from configs.errors import UserError
from pipeline.demo.sample.catalogue import make_catalogue
from pipeline.demo.sample.export import Plan, write_exports
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.table import write_table
from pipeline.demo.sample.visits import Size

TABLE = "table"
LAYOUTS = ("ga360", "ga4", TABLE)
_ITEMS_PER_VISITOR = 17.5  # where the catalogue is large enough


@dataclass
class Report:
    """The numbers that were written; `total` counts sessions, hits and events of all days."""

    total: Counter[str] = field(default_factory=Counter)
    table_rows: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


def size_from(
    visitors: int, items: int, days: int, interactions: int | None, start_date: datetime.date, seed: int
) -> Size:
    """Return the size of a sample; without `interactions`, visitors read as many items as suits the catalogue.

    Raises:
        UserError: the interactions do not fit the visitors and items.
    """
    if interactions is None:
        interactions = round(visitors * min(_ITEMS_PER_VISITOR, max(1.0, items / 8)))
    start = datetime.datetime.combine(start_date, datetime.time(), datetime.UTC)
    size = Size(visitors, items, days, interactions, int(start.timestamp()), seed)
    most = visitors * max(1, size.cap // 2)
    if not visitors <= interactions <= most:
        raise UserError(
            f"--interactions {interactions} does not fit {visitors} visitors and {items} items: "
            f"choose {visitors} to {most}, or change --visitors or --items"
        )
    return size


def make_sample(output_dir: str, size: Size, plan: Plan, replace_old: bool = False) -> Report:
    """Write a sample into a directory.

    Args:
        replace_old: whether files of an earlier sample may be replaced.

    Raises:
        UserError: the directory is not empty or cannot be written.
    """
    started = time.perf_counter()
    output = OutputDirectory(output_dir, replace_old)
    catalogue = make_catalogue(size.items, size.seed)
    report, done = Report(), 0
    exports = replace(plan, layouts=tuple(layout for layout in plan.layouts if layout != TABLE))
    total = size.blocks * (bool(exports.layouts) * size.days + (TABLE in plan.layouts))
    with cli.progress(f"sample in {output_dir}", total, stderr=True) as bar, output.open():

        def block_done() -> None:
            nonlocal done
            done += 1
            bar.update(done)

        def day_done(day: datetime.date, counts: Counter[str]) -> None:
            report.total += counts
            bar.say(f"{day}: " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))

        with open(output.add("catalogue.csv"), "wb") as file:
            file.write(catalogue.csv())
        if TABLE in plan.layouts:
            report.table_rows = write_table(output, size, catalogue, block_done)
        if exports.layouts:
            write_exports(output, size, catalogue, exports, block_done, day_done)
        report.bytes = output.publish(_description(size, report))
    report.files, report.seconds = len(output.names), time.perf_counter() - started
    return report


def _description(size: Size, report: Report) -> dict[str, object]:
    start = datetime.datetime.fromtimestamp(size.start_s, datetime.UTC).date()
    return {
        "made_by": "pipeline.sample",
        "seed": size.seed,
        "start_date": start.isoformat(),
        "days": size.days,
        "visitors": size.visitors,
        "items": size.items,
        **report.total,
        **({"interactions": report.table_rows} if report.table_rows else {}),
    }
