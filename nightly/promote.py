"""End an experiment, so that all visitors have one variant: wals promote VARIANT --config C"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from configs import cli
from ranking.experiments import promoted

_EPILOG = """\
The next predictions, and a server at its next look (serving.poll_seconds), answer all visitors with the variant, and
nights train by its settings. Then make these the settings of the config, and remove the section `experiment`.

example: wals promote short --config configs/local.yaml
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and end the experiment; raise UserError if it has no such variant."""
    parser = cli.parser("wals promote", "End an experiment: all visitors have one variant.", epilog=_EPILOG)
    parser.add_argument("variant", metavar="VARIANT", help="name of the variant, of experiment.variants")
    args = parser.parse_args(argv)
    settings = cli.settings_from(args, {})
    promoted.end(settings.experiment, args.variant)
    experiment = settings.experiment
    print(f"experiment {experiment.name} has ended: all visitors have {args.variant} ({experiment.promoted})")


if __name__ == "__main__":
    sys.exit(cli.run(main))
