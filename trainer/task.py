"""The training command: wals train --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from configs import cli

_EPILOG = """\
If a training is killed, the same command continues it from the last checkpoint.
Any setting of the config can be given as --set KEY=VALUE.

examples:
  wals train --config configs/local.yaml
  wals train --config configs/local.yaml --dataset_dir data/dataset --model_dir data/model --replace \\
      --set training.embedding_dimension=128 --set training.max_sweeps=16
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and run the job."""
    parser = cli.parser(
        "wals train",
        "Train a model on a dataset; write its factors, its SavedModel and its manifest.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "output of pipeline.preprocess, local or gs://"),
        "model_dir": ("model_dir", "DIR", "directory of the new model, local or gs://"),
        "warm_start": ("training.warm_start", "DIR", "start from this earlier model, for example last night's"),
    }
    cli.add_flags(parser, flags, "a model that is")
    args = parser.parse_args(argv)
    settings = cli.settings_with(args, flags)
    dataset_dir = cli.required(settings.dataset_dir, "dataset_dir")
    model_dir = cli.required(settings.model_dir, "model_dir")
    # Imported here, so that `--help` and mistakes in the flags are answered at once.
    cli.import_tensorflow()
    from trainer.job import training_job

    training_job.train(
        settings.training,
        dataset_dir,
        model_dir,
        args.replace,
        settings.cold_start,
        settings.catalogue,
        term=settings.neighbourhood,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
