"""Write wals.yaml, which the other commands then read: wals init 'export/events_*'"""

from __future__ import annotations

from collections.abc import Sequence

from artifacts import storage
from configs import cli, places
from configs.errors import UserError
from configs.settings.signals import PRESETS
from pipeline import inspect

_EPILOG = """\
With an export, the config is the one that `wals inspect` proposes. Without, it takes all settings from a config that
comes with the package, and is the place for those that differ.

examples:
  wals init 'export/events_*'
  wals init 'bq://project.analytics_123.events_*' --preset ga4_pages
  wals init --from nightly
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and write the config; raise UserError if there is one."""
    parser = cli.plain_parser("wals init", "Write wals.yaml, the config of this directory.", epilog=_EPILOG)
    add = parser.add_argument
    add("export", nargs="?", metavar="EXPORT", help="glob of files, local or gs://, or bq://PROJECT.DATASET.TABLE")
    add("--from", dest="base", default="local", choices=places.names(), help="without EXPORT (default: local)")
    add("--preset", choices=sorted(PRESETS), help="what counts as interest in EXPORT")
    add("--project", metavar="ID", help="bq://: the project that pays for the reads")
    add("--replace", action="store_true", help="replace a wals.yaml that is already there")
    args = parser.parse_args(argv)
    if args.export:
        given = {"--preset": args.preset, "--project": args.project}
        flags = [word for name, value in given.items() if value for word in (name, value)]
        inspect.main([args.export, "--write", places.HERE, *flags, *(["--replace"] if args.replace else [])])
        return
    if not args.replace and storage.exists(places.HERE):
        raise UserError(f"{places.HERE} exists already; edit it, or pass --replace")
    text = f"# All settings, and where each is from: wals config\nextends: {args.base}\n"
    storage.write_bytes(places.HERE, text.encode())
    print(f"wrote {places.HERE}, which extends {places.locate(args.base)}; see the settings: wals config")
