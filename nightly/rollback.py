"""Back to the version before: python -m nightly.rollback --config C"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts.paths import Nights
from configs import cli
from nightly import alias, dates, steps, targets

_EPILOG = """\
A version that was withdrawn does not go live again by itself; the next night's does, if it passes the gate. It works
while a run is under way.

examples:
  python -m nightly.rollback --config configs/nightly.yaml
  python -m nightly.rollback --config configs/nightly.yaml --to 2024-01-31
"""


def main(argv: Sequence[str] | None = None, execute: steps.Execute = steps.execute) -> None:
    """Parses the flags and goes back.

    Raises:
        UserError: there is nothing to go back to, or it is not whole.
    """
    parser = cli.parser(
        "python -m nightly.rollback", "Makes the version before the live one live again.", epilog=_EPILOG
    )
    parser.add_argument("--to", metavar="DATE", help="a version or a date to go back to; all newer ones are withdrawn")
    args = parser.parse_args(argv)
    settings = dates.settings(args)
    nights = Nights(settings.nightly.directory)
    withdrawn, live = alias.withdraw(nights, args.to)
    targets.follow(settings, live, execute, print)
    print(f"{live.name} is live; withdrawn: {', '.join(withdrawn) or 'none'}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
