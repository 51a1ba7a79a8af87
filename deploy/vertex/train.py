"""Train on Vertex AI or on this machine: wals train --config configs/gcp.yaml

If vertex.image is set, the training is a custom job of Vertex AI, otherwise trainer.task on this machine.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence

from configs import PREFIX, cli

_EPILOG = """\
examples:
  wals train --config configs/gcp.yaml --dry_run
  wals train --config configs/gcp.yaml --replace --set vertex.accelerator_type=NVIDIA_L4
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and train."""
    parser = cli.parser(
        "wals train",
        "Train on Vertex AI if vertex.image is set in the config, otherwise on this machine.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "the dataset that pipeline.preprocess wrote"),
        "model_dir": ("model_dir", "DIR", "the directory to write the model to"),
        "warm_start": ("training.warm_start", "DIR", "start from this earlier model, for example last night's"),
    }
    cli.add_flags(parser, flags, "a model that is")
    parser.add_argument("--dry_run", action="store_true", help="print the job that would be submitted, and stop")
    args, rest = parser.parse_known_args(argv)
    settings = cli.settings_with(args, flags)
    if settings.vertex.image is None:
        _train_here(sys.argv[1:] if argv is None else argv, args.dry_run)
        return
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    from artifacts.storage.google_cloud import check_bucket
    from deploy.vertex import jobs  # Google's client takes seconds to import

    jobs.check(settings)
    if args.dry_run:
        print(json.dumps(jobs.describe(settings, args.replace), indent=2))
        return
    check_bucket(str(settings.cloud.temp_location), str(settings.cloud.region), "cloud.temp_location")
    jobs.run(settings, args.replace, lambda text: print(text, flush=True))
    if settings.vertex.register_as:
        print(f"registered {jobs.register(settings)}")


def _train_here(argv: Sequence[str], dry_run: bool) -> None:
    """Run trainer.task, by its name, which has the same flags; a dry run prints the command."""
    rest = [flag for flag in argv if flag.replace("-", "_") != "__dry_run"]
    if dry_run:
        print(" ".join([sys.executable, "-m", f"{PREFIX}trainer.task", *rest]))
        return
    importlib.import_module(f"{PREFIX}trainer.task").main(rest)


if __name__ == "__main__":
    sys.exit(cli.run(main))
