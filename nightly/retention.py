"""Removes old runs: python -m nightly.retention --config C"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from artifacts import locks, storage
from artifacts.paths import Nights
from configs import cli
from configs.settings import NightlySettings
from nightly import alias, dates, record

_EPILOG = """\
Every nightly run does this at its end. The live version is never removed, nor is a run that is under way.

examples:
  python -m nightly.retention --config configs/nightly.yaml --dry_run
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and removes.

    Raises:
        UserError: a run is at work.
    """
    parser = cli.parser(
        "python -m nightly.retention",
        "Keeps the versions that went live (nightly.keep) and the newest other runs (nightly.keep_failed).",
        epilog=_EPILOG,
    )
    parser.add_argument("--dry_run", action="store_true", help="only say what would be removed")
    args = parser.parse_args(argv)
    settings = dates.settings(args).nightly
    nights = Nights(settings.directory)
    with locks.claim(settings.directory):
        found = expired(settings, nights)
        if args.dry_run:
            print("\n".join(run.name for run in found) or "nothing to remove")
        else:
            tidy(settings, nights, print)


def expired(settings: NightlySettings, nights: Nights) -> list[record.Record]:
    """The runs to remove, oldest first."""
    found = alias.read(nights)
    kept = {version.name for version in found.versions[-settings.keep :]}
    went_live = {version.name for version in found.versions}
    runs = record.every(nights)
    others = [run.name for run in runs if run.name not in went_live and run.status != record.RUNNING]
    kept |= set(others[len(others) - settings.keep_failed :] if settings.keep_failed else ())
    return [run for run in runs if run.name not in kept and (run.name in went_live or run.name in others)]


def tidy(settings: NightlySettings, nights: Nights, say: Callable[[str], None]) -> None:
    """Removes what has expired: from the alias first, so that nobody goes back to what is half removed."""
    found = expired(settings, nights)
    if found:
        alias.forget(nights, {run.name for run in found})
    for run in found:
        storage.remove(run.night.root)
        say(f"{run.name} removed: {settings.keep} versions and {settings.keep_failed} other runs are kept")


if __name__ == "__main__":
    sys.exit(cli.run(main))
