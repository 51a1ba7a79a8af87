"""The command that looks at an export: wals inspect EXPORT --write config.yaml"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from artifacts import storage
from configs import cli
from configs.errors import UserError
from configs.settings import BigQuerySettings
from configs.settings.signals import PRESETS

_EPILOG = """\
The files are read in part if they are large: their beginnings, 256 MB in all. Then the usual commands work with the
config that --write wrote.

examples:
  wals inspect 'export/events_*' --write shop.yaml
  wals inspect ratings.csv
  wals inspect 'bq://project.analytics_123.events_*' --preset ga4_pages
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, print the screen, and write the proposed config."""
    args = _parser().parse_args(argv)
    if args.write and not args.replace and storage.exists(args.write):
        raise UserError(f"{args.write} exists already; name another file for --write, or pass --replace")
    from pipeline.inspection import inspection  # Arrow takes half a second to import, for which `--help` does not wait

    seen = inspection.inspect(args.export, args.preset, args.write, BigQuerySettings(project=args.project))
    seen.show()
    if args.write:
        if seen.config is None:
            raise UserError(f"{args.write} is not written: {seen.problem}")
        storage.write_bytes(args.write, seen.config.encode())
        print(f"\nwrote {args.write}; next: wals preprocess --config {args.write}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.plain_parser(
        "wals inspect",
        "Say what an export or a table is, and propose a config for it.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("export", metavar="EXPORT", help="glob of files, local or gs://, or bq://PROJECT.DATASET.TABLE; quote it")
    add("--preset", choices=sorted(PRESETS), help="propose this preset instead of the one that fits best")
    add("--project", metavar="ID", help="bq://: the project that pays for the reads (default: that of the credentials)")
    add("--write", metavar="YAML", help="write the proposed config")
    add("--replace", action="store_true", help="replace a config that is already there")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
