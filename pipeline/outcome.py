"""The command that measures what recommendations did: wals outcome --config configs/local.yaml"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence

from artifacts.manifests import OutcomeManifest
from configs import cli
from configs.settings import Settings

_EPILOG = """\
Each run of recommendations counts from its run_time to the next one's, with outcome.days at most. Beam's own options
pass through, as in wals preprocess; any setting of the config can be given as --set KEY=VALUE.

examples:
  wals outcome --input 'export/events_*' --lists
  wals outcome --input 'export/events_*' --list_name recommendations
  wals outcome --predictions data/monday data/tuesday --datasets data/dataset --replace
"""
_FLAGS = {
    "input": ("outcome.input", "GLOB", "export of the days after the predictions (default: the config's source.input)"),
    "list_name": ("outcome.list_name", "NAME", "name or id of the list that shows recommendations"),
    "compare": ("outcome.compare", "DIR", "recommendations of another version: estimate their click rate"),
    "days": ("outcome.days", "N", "days after the predictions that count"),
    "outcome_dir": ("outcome_dir", "DIR", "where to write the outcome, local or gs://"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and run the job."""
    description = (
        "Measures what recommendations did, by the export of the days after: hits, exposures, clicks, revenue."
    )
    parser = cli.parser("wals outcome", description, epilog=_EPILOG)
    cli.add_flags(parser, _FLAGS, "an outcome that is")
    several = {
        "predictions": "directories of recommendations that were live",
        "datasets": "directories of their datasets",
    }
    for name, text in several.items():
        parser.add_argument(f"--{name}", nargs="+", metavar="DIR", help=f"{text} (default: the config's)")
    parser.add_argument("--lists", action="store_true", help="print the lists that the export has, and stop")
    args, beam_flags = parser.parse_known_args(argv)
    if beam_flags:
        from pipeline.beam import options as options_of_beam

        options_of_beam.refuse_unknown(beam_flags, parser.flags())
    values = {key: getattr(args, name) for name, (key, *_) in _FLAGS.items()}
    values |= {f"outcome.{name}": getattr(args, name) for name in several}
    settings = cli.settings_from(args, values)
    if args.lists:
        show_lists(settings, beam_flags)
    else:
        outcome(settings, beam_flags, args.replace)


def outcome(settings: Settings, beam_flags: Sequence[str], replace: bool) -> OutcomeManifest:
    """Measure what the recommendations that the settings name did; return the manifest of the outcome.

    Raise UserError if the export has no row of the days after, or none of a visitor with recommendations.
    """
    # Imported late, so that `--help` and mistakes in the flags answer at once.
    from artifacts import publish
    from pipeline.outcomes import account, display, execution
    from pipeline.outcomes.live import runs

    started = time.time()
    root = cli.required(settings.outcome_dir, "outcome_dir")
    found = runs.of_settings(settings)
    with publish.staged(root, "outcome", replace) as staging:
        job, summary, steps = execution.run(settings, found, beam_flags, staging)
        manifest, figures = account.complete(job, summary, started, steps)
    display.show(root, manifest, figures)
    return manifest


def show_lists(settings: Settings, beam_flags: Sequence[str]) -> None:
    """Print exposures and clicks of each list that the export has."""
    from artifacts import storage
    from pipeline.outcomes import account, display, execution

    # Next to the outcome, where workers elsewhere can write too.
    staging = f"{cli.required(settings.outcome_dir, 'outcome_dir').rstrip('/')}.lists-{uuid.uuid4().hex[:12]}"
    storage.make_directory(staging)
    try:
        _, summary, _ = execution.run(settings, (), beam_flags, staging)
    finally:
        storage.remove(staging)
    display.show_lists(account.lists_of(summary["counts"]), summary["counts"])


if __name__ == "__main__":
    sys.exit(cli.run(main))
