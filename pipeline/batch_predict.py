"""The job that makes predictions: wals predict --config configs/local.yaml"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from artifacts.manifests import PredictionsManifest
from configs import cli
from configs.flags import Parser
from configs.settings import Settings
from configs.settings.prediction import KINDS

_EPILOG = """\
Beam's own options pass through, e.g. --runner=DataflowRunner; those under `beam:` in the config are the defaults.
Any setting of the config can be given as --set KEY=VALUE.

examples:
  wals predict --config configs/local.yaml --set prediction.top_k=20 --replace
  wals predict --config configs/local.yaml --set prediction.block=out_of_stock.txt --replace
  wals predict --config configs/local.yaml --kind audiences --set prediction.only=new.txt
"""


FLAGS = {
    "dataset_dir": ("dataset_dir", "DIR", "the dataset, local or gs://"),
    "model_dir": ("model_dir", "DIR", "the model that was trained on it"),
    "kind": ("prediction.kind", "KIND", ", ".join(KINDS)),
    "top_k": ("prediction.top_k", "K", "number of entries in each list"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and run the job."""
    description = "Recommends items to every visitor, or finds visitors for every item, by the site's own ids."
    own = parser("wals predict", description, _EPILOG)
    args, beam_flags = own.parse_known_args(argv)
    if beam_flags:
        from pipeline.beam import options as options_of_beam

        options_of_beam.refuse_unknown(beam_flags, own.flags())
    settings = cli.settings_with(args, FLAGS)
    if args.dry_run:
        preview(settings, args.replace, args.output_dir)
    else:
        predict(settings, beam_flags, args.replace, args.output_dir)


def parser(prog: str, description: str, epilog: str) -> Parser:
    """Return the parser of a command that makes predictions."""
    result = cli.parser(prog, description, epilog=epilog)
    cli.add_flags(result, FLAGS, "predictions that are")
    result.add_argument(
        "--output_dir", metavar="DIR", help="directory of the predictions; default: the kind's, e.g. predictions_dir"
    )
    result.add_argument("--dry_run", action="store_true", help="check everything, print what would be made, and stop")
    return result


def output_root(settings: Settings, output_dir: str | None) -> str:
    """Return where predictions go; output_dir: None for the directory that the settings name for their kind."""
    return cli.required(output_dir or getattr(settings, settings.prediction.directory_setting), "output_dir")


def preview(settings: Settings, replace: bool, output_dir: str | None) -> None:
    """Print what would be predicted; raise the UserErrors that come before the work."""
    from artifacts import publish
    from pipeline.prediction import plan as plans
    from pipeline.prediction.execution import account

    root = output_root(settings, output_dir)
    plan, _ = plans.make(settings)
    publish.refuse_occupied(publish.target_of(root), settings.prediction.output_kind, replace)
    account.show_plan(root, plan)


def predict(
    settings: Settings, beam_flags: Sequence[str], replace: bool, output_dir: str | None = None
) -> PredictionsManifest:
    """Make the predictions that the settings describe, and return their manifest.

    output_dir: None for the directory that the settings name for their kind.
    """
    # Imported late, so that `--help` and mistakes in the flags answer at once.
    from artifacts import publish
    from pipeline.beam import counters, finalize, progress
    from pipeline.beam import options as beam_options
    from pipeline.prediction import plan as plans
    from pipeline.prediction.execution import account, job

    started, prediction = time.time(), settings.prediction
    root = output_root(settings, output_dir)
    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_bucket(options)
    plan, trained = plans.make(settings)
    if prediction.table:
        from pipeline.prediction.writers import bigquery

        bigquery.check(settings)
    with publish.staged(root, prediction.output_kind, replace) as staging:
        with progress.watching(account.title(plan), staging, *job.files_due(plan)):
            result = beam_options.run(lambda pipeline: job.build(pipeline, plan, staging), options)
        summary = finalize.take_summary(staging)
        job.remove_strays(staging, summary["files"].keys())
        manifest = account.complete(summary, plan, trained, started, staging, counters.by_step(result))
    if prediction.table:
        bigquery.load(settings, root, manifest)
    account.show(root, manifest)
    return manifest


if __name__ == "__main__":
    sys.exit(cli.run(main))
