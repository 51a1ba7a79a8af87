"""The command that plans an experiment: wals experiment --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from artifacts import storage
from artifacts.manifests import OutcomeManifest
from artifacts.manifests.outcome import Outcome
from artifacts.paths import OutcomeFiles
from configs import cli, tables
from configs.errors import UserError
from configs.settings import Settings

_EPILOG = """\
It needs an outcome of days before the experiment (wals outcome), for the base rate and the visitors of a day.

examples:
  wals experiment --config configs/local.yaml
  wals experiment --config configs/local.yaml --effect 0.05
"""
_DAYS = 7, 14, 28, 56


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, and print what the experiment of the config finds after some days."""
    parser = cli.parser("wals experiment", "Compute how many visitors and days an experiment needs.", epilog=_EPILOG)
    parser.add_argument("--outcome_dir", metavar="DIR", help="an outcome of days before the experiment")
    parser.add_argument("--effect", type=float, metavar="SHARE", default=0.1, help="relative effect to find, as 0.1")
    args = parser.parse_args(argv)
    show(cli.settings_from(args, {"outcome_dir": args.outcome_dir}), args.effect)


def show(settings: Settings, effect: float) -> None:
    """Print the plan; raise UserError without an experiment or an outcome, or for an effect that is not above 0."""
    from pipeline.outcomes.experiments import plan

    experiment = settings.experiment
    if experiment.name is None:
        raise UserError("the config has no experiment; set experiment.name and its variants")
    if not effect > 0:
        raise UserError(f"--effect {effect:g} must be above 0, such as 0.1 for a tenth more")
    files = OutcomeFiles(cli.required(settings.outcome_dir, "outcome_dir").rstrip("/"))
    manifest = OutcomeManifest.read(files.manifest)
    outcome = Outcome.model_validate_json(storage.read_bytes(files.figures))
    names, shares = list(experiment.variants), [variant.share for variant in experiment.variants.values()]
    # The comparison with the control that has the fewest visitors is the one that takes longest.
    other = min(range(1, len(shares)), key=lambda place: shares[place])
    pair = shares[0], shares[other]
    console = Console()
    for base in plan.bases(outcome, manifest):
        tables.say(console, f"{base.metric} {base.value:.4f}, {base.visitors:,.0f} visitors a day")
        table = tables.table("days", ("visitors", "smallest effect", "relative"))
        for size in plan.sizes(base, pair, _DAYS, outcome.confidence):
            cells = f"{size.days}", f"{size.visitors:,}", f"{size.effect:.4f}", f"{size.relative:.1%}"
            table.add_row(*map(Text, cells))
        console.print(table)
        visitors, days = plan.needed(base, pair, effect, outcome.confidence)
        whole = round(visitors * sum(pair))
        tables.say(
            console,
            f"a relative effect of {effect:.1%} between {names[0]} and {names[other]} is found with a power of 80 % "
            f"after {days:,} days: set experiment.planned_visitors to {whole:,}",
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
