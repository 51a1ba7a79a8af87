"""The command that makes a sample of Google Analytics exports: wals sample --output_dir data/export"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence

from artifacts.storage import is_remote
from configs import cli
from configs.errors import UserError
from pipeline.demo.sample.formats import FORMATS
from pipeline.demo.sample.generate import LAYOUTS, Plan, make_sample, size_from

_LIMIT = 100_000_000


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, write the sample, and print its numbers."""
    args = _parser().parse_args(argv)
    if is_remote(args.output_dir):
        raise UserError(f"--output_dir {args.output_dir}: name a local directory")
    if args.after:
        _days_after(args)
        return
    size = size_from(args.visitors, args.items, args.days, args.interactions, args.start_date, args.seed)
    plan = Plan(tuple(dict.fromkeys(args.layouts)), tuple(dict.fromkeys(args.formats)), args.files_per_day)
    report = make_sample(args.output_dir, size, plan, args.replace)
    total = {"interactions in the table" if name == "interactions" else name: n for name, n in report.total.items()}
    numbers = {"files": report.files, "visitors": size.visitors, "items": size.items, **total, "bytes": report.bytes}
    cli.print_table(f"Sample in {args.output_dir}", [*numbers.items(), ("seconds", f"{report.seconds:.1f}")])


def _days_after(args: argparse.Namespace) -> None:
    from pipeline.demo.lists import generate  # which needs Beam

    if others := [name for name in args.layouts if name not in generate.LAYOUTS]:
        raise UserError(f"--layouts {others[0]}: days after predictions have {' and '.join(generate.LAYOUTS)}")
    plan = generate.Plan(args.after, args.list_name, args.days, args.seed, tuple(dict.fromkeys(args.layouts)))
    counts = generate.make_days(args.output_dir, plan, args.replace)
    cli.print_table(f"Days after {args.after} in {args.output_dir}", list(counts.items()))


def _parser() -> argparse.ArgumentParser:
    parser = cli.plain_parser(
        "wals sample",
        "Make a sample of Google Analytics exports: visits to an imaginary magazine, whose readers have "
        "favourite topics, or to its shop. The same flags produce the same bytes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: wals sample --output_dir data/export --visitors 500 --layouts ga4 ga4_shop",
    )
    add = parser.add_argument
    add("--output_dir", required=True, help="directory to write to; it must be empty, unless --replace is set")
    add("--visitors", type=_whole(1, _LIMIT), default=2000, help="number of visitors; each has an interaction or more")
    add("--items", type=_whole(1, _LIMIT), default=400, help="number of items in the catalogue")
    add("--days", type=_whole(1, 3660), default=7, help="days of visits")
    add("--interactions", type=_whole(1, 100 * _LIMIT), help="approximate number of pairs of visitor and item")
    add("--start_date", type=_date, default=datetime.date(2024, 1, 1), help="first day, YYYY-MM-DD")
    add("--seed", type=_whole(0, 2**63 - 1), default=42, help="another seed makes other visitors")
    add("--layouts", nargs="+", choices=LAYOUTS, default=["ga360", "ga4"], help="layouts, some named for a preset")
    add("--formats", nargs="+", choices=list(FORMATS), default=["ndjson"], help="file formats, but of table")
    add("--files_per_day", type=_whole(1, 48), default=1, help="number of files per day")
    add(
        "--after",
        metavar="DIR",
        help="predictions: make an export of the days after, whose visitors see and click them",
    )
    add("--list_name", default="recommendations", metavar="NAME", help="with --after: name of the list that shows them")
    add("--replace", action="store_true", help="replace an earlier sample; other files are kept")
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not within {low} to {high}")
        return value

    return parse


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2024-01-31") from None


if __name__ == "__main__":
    sys.exit(cli.run(main))
