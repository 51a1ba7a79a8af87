"""Go back to the version before the live one: wals rollback --config C"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts.paths import Nights
from configs import cli
from nightly import destinations, inputs
from nightly.runs import live
from nightly.steps.process import Execute, execute

_EPILOG = """\
A version that was withdrawn does not go live again by itself. The next night's version does, if it passes the gate.
A rollback also works while a run is in progress.

examples:
  wals rollback --config configs/nightly.yaml
  wals rollback --config configs/nightly.yaml --to 2024-01-31
"""


def main(argv: Sequence[str] | None = None, execute: Execute = execute) -> None:
    """Parse the flags and go back; raise UserError if the version does not exist or is damaged."""
    parser = cli.parser("wals rollback", "Put the version before the live one live again.", epilog=_EPILOG)
    parser.add_argument(
        "--to", metavar="DATE", help="date or name of the version to go back to; all newer versions are withdrawn"
    )
    args = parser.parse_args(argv)
    settings = inputs.settings_of(args)
    withdrawn, version = live.withdraw(Nights(settings.nightly.directory), args.to)
    destinations.follow(settings, version, execute, print)
    print(f"{version.name} is live; withdrawn: {', '.join(withdrawn) or 'none'}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
