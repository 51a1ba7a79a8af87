"""A sample: Google Analytics exports of an imaginary magazine and its shop.

Visitors have favourite categories and topics; items and visitors are long-tailed; and the visits contain what real ones
do: home pages, events, repeated views, views spread over visits and days, last pages without dwell. All layouts and
formats describe the same visits, and samples of the same size have the same bytes.
"""

from __future__ import annotations

import datetime
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from configs import cli
from configs.errors import UserError
from pipeline.demo.sample.catalogue import make_catalogue
from pipeline.demo.sample.export import EXPORTS, Plan, write_exports
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.table import write_table
from pipeline.demo.sample.visits import Size

TABLE = "table"
LAYOUTS = (*EXPORTS, TABLE)
_ITEMS_PER_VISITOR = 17.5  # where the catalogue is large enough


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
    """Return the size of a sample; without `interactions`, visitors read as many items as suits the catalogue.

    Raises:
        UserError: the interactions do not fit the visitors and items.
    """
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
    """Write a sample into a directory.

    Args:
        replace: whether files of an earlier sample may be replaced.

    Raises:
        UserError: the directory is not empty or cannot be written.
    """
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
