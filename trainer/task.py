"""The job that trains: python -m trainer.task --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from configs import cli

_EPILOG = """\
A training that was killed goes on where it was when the same command is started again.
Any setting of the config can be given as --set KEY=VALUE.

examples:
  python -m trainer.task --config configs/local.yaml
  python -m trainer.task --config configs/local.yaml --dataset_dir data/dataset --model_dir data/model --replace \\
      --set training.embedding_dimension=128 --set training.max_sweeps=16
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and runs the job.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser(
        "python -m trainer.task",
        "Reads a dataset and trains the factorisation: factors, SavedModel, manifest.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "what pipeline.preprocess wrote, local or gs://"),
        "model_dir": ("model_dir", "DIR", "where the model goes, local or gs://"),
        "warm_start": ("training.warm_start", "DIR", "an earlier model to start from, e.g. last night's"),
    }
    cli.add_flags(parser, flags, "a model that is")
    args = parser.parse_args(argv)
    settings = cli.settings_with(args, flags)
    dataset_dir = cli.required(settings.dataset_dir, "dataset_dir")
    model_dir = cli.required(settings.model_dir, "model_dir")
    # Not before: `--help` and a mistake in the flags answer at once.
    cli.import_tensorflow()
    from trainer.job import training_job

    training_job.train(settings.training, dataset_dir, model_dir, args.replace, settings.cold_start, settings.catalogue)


if __name__ == "__main__":
    sys.exit(cli.run(main))
