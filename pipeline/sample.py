"""Makes a sample: Google Analytics exports of an imaginary magazine, in GA360's and in GA4's layout.

    python -m pipeline.sample --output_dir data/export

Visitors have favourite categories and topics, items and visitors are long-tailed, and the visits hold what
real ones do: home pages, events, repeated views, views spread over visits and days, last pages without dwell.
All layouts and formats describe the same visits, and the same flags give the same bytes.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from configs import cli
from configs.errors import UserError
from pipeline.demo.sample.catalogue import make_catalogue
from pipeline.demo.sample.export import Plan, write_exports
from pipeline.demo.sample.files import FORMATS, OutputDirectory
from pipeline.demo.sample.table import write_table
from pipeline.demo.sample.visits import Size

LAYOUTS = ("ga360", "ga4", "table")
_PER_VISITOR = 17.5  # items a visitor reads, where the catalogue is large enough for it
_LIMIT = 100_000_000


@dataclass
class Report:
    """What was written; `total` counts sessions, hits and events of all days."""

    total: Counter[str] = field(default_factory=Counter)
    table_rows: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and writes the sample.

    Raises:
        UserError: whatever the user can put right.
    """
    args = _parser().parse_args(argv)
    size = size_from(args.visitors, args.items, args.days, args.interactions, args.start_date, args.seed)
    plan = Plan(tuple(dict.fromkeys(args.layouts)), tuple(dict.fromkeys(args.formats)), args.files_per_day)
    _show(args.output_dir, size, make_sample(args.output_dir, size, plan, args.replace))


def make_sample(output_dir: str, size: Size, plan: Plan, replace: bool = False) -> Report:
    """Writes the sample into `output_dir`.

    Raises:
        UserError: the directory is not empty or cannot be written.
    """
    begin = time.perf_counter()
    output = OutputDirectory(output_dir, replace)
    catalogue = make_catalogue(size.items, size.seed)
    report = Report()
    exports = Plan(tuple(x for x in plan.layouts if x != "table"), plan.formats, plan.files_per_day)
    with _progress() as progress, output.open():
        with open(output.add("catalogue.csv"), "wb") as file:
            file.write(catalogue.csv())
        if "table" in plan.layouts:
            bar = progress.add_task("table", total=size.blocks)
            report.table_rows = write_table(output, size, catalogue, lambda: progress.advance(bar))
        if exports.layouts:
            bar = progress.add_task(" and ".join(exports.layouts), total=size.blocks * size.days)

            def day_done(day: datetime.date, count: Counter[str]) -> None:
                report.total += count
                if progress.disable:
                    print(f"{day}: " + _say(count), file=sys.stderr, flush=True)

            write_exports(output, size, catalogue, exports, lambda: progress.advance(bar), day_done)
        report.bytes = output.publish(_description(size, report))
    report.files, report.seconds = len(output.names), time.perf_counter() - begin
    return report


def size_from(
    visitors: int, items: int, days: int, interactions: int | None, start_date: datetime.date, seed: int
) -> Size:
    """Checks the sizes and fills in the number of interactions.

    Raises:
        UserError: a number is out of range, or the interactions do not fit the visitors and items.
    """
    if interactions is None:
        interactions = round(visitors * min(_PER_VISITOR, max(1.0, items / 8)))
    start = datetime.datetime.combine(start_date, datetime.time(), datetime.UTC)
    size = Size(visitors, items, days, interactions, int(start.timestamp()), seed)
    most = visitors * max(1, size.cap // 2)
    if not visitors <= interactions <= most:
        raise UserError(
            f"--interactions {interactions} does not fit {visitors} visitors and {items} items: "
            f"choose {visitors} to {most}, or change --visitors or --items"
        )
    return size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.sample",
        description="Makes a sample of Google Analytics exports: the visits to an imaginary magazine, whose "
        "readers have favourite topics. The same flags give the same bytes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--output_dir", required=True, help="folder to write; empty, or with --replace")
    add("--visitors", type=_whole(1, _LIMIT), default=2000, help="visitors, each with one interaction or more")
    add("--items", type=_whole(1, _LIMIT), default=400, help="items in the catalogue")
    add("--days", type=_whole(1, 3660), default=7, help="days of visits")
    add("--interactions", type=_whole(1, 100 * _LIMIT), help="about so many pairs of visitor and item")
    add("--start_date", type=_date, default=datetime.date(2024, 1, 1), help="first day, YYYY-MM-DD")
    add("--seed", type=_whole(0, 2**63 - 1), default=42, help="another seed makes other visitors")
    add("--layouts", nargs="+", choices=LAYOUTS, default=["ga360", "ga4"], help="what to write")
    add("--formats", nargs="+", choices=list(FORMATS), default=["ndjson"], help="of the GA layouts' files")
    add("--files_per_day", type=_whole(1, 48), default=1, help="files of each day")
    add("--replace", action="store_true", help="replace a former sample, and no other file")
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not within {low} to {high}")
        return value

    return parse


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2024-01-31") from None


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


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


def _say(count: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in count.items())


def _show(output_dir: str, size: Size, report: Report) -> None:
    table = Table(title=f"Sample in {escape(output_dir)}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    numbers = {"files": report.files, "visitors": size.visitors, "items": size.items, **report.total}
    if report.table_rows:
        numbers["interactions in the table"] = report.table_rows
    for name, number in {**numbers, "bytes": report.bytes}.items():
        table.add_row(name, f"{number:,}")
    table.add_row("seconds", f"{report.seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
