"""Remove old runs: wals clean-nights --config C"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from artifacts import storage
from artifacts.paths import Nights
from artifacts.storage import locks
from configs import cli
from configs.settings import NightlySettings
from nightly import inputs
from nightly.runs import live, record

_EPILOG = """\
Every nightly run does this at its end. The live version is never removed, and neither is a run in progress.

examples:
  wals clean-nights --config configs/nightly.yaml --dry_run
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and remove the expired runs; raise UserError if a run is in progress."""
    parser = cli.parser(
        "wals clean-nights",
        "Remove all runs but the versions that went live (nightly.keep) and the newest others (nightly.keep_failed).",
        epilog=_EPILOG,
    )
    parser.add_argument("--dry_run", action="store_true", help="only print the runs that would be removed")
    args = parser.parse_args(argv)
    settings = inputs.settings_of(args).nightly
    nights = Nights(settings.directory)
    with locks.claim(settings.directory):
        if args.dry_run:
            print("\n".join(run.name for run in expired(settings, nights)) or "nothing to remove")
        else:
            tidy(settings, nights, print)


def expired(settings: NightlySettings, nights: Nights) -> list[record.Record]:
    """Return the runs to remove, oldest first."""
    runs, went_live = record.load_all(nights), [version.name for version in live.read(nights).versions]
    others = [run.name for run in runs if run.name not in went_live and run.status != record.RUNNING]
    expired_names = {*went_live[: -settings.keep], *others[: max(0, len(others) - settings.keep_failed)]}
    return [run for run in runs if run.name in expired_names]


def tidy(settings: NightlySettings, nights: Nights, say: Callable[[str], None]) -> None:
    """Remove the expired runs, first from the versions that a rollback can return to, then from the disk."""
    runs = expired(settings, nights)
    if runs:
        live.forget(nights, {run.name for run in runs})
    for run in runs:
        storage.remove(run.night.root)
        say(f"{run.name} removed: {settings.keep} versions and {settings.keep_failed} other runs are kept")


if __name__ == "__main__":
    sys.exit(cli.run(main))
