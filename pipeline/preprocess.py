"""The job that makes a dataset: python -m pipeline.preprocess --config configs/local.yaml"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from functools import partial

from artifacts import locks
from artifacts.paths import Dataset, join
from configs import cli
from configs.settings import Settings
from pipeline import validate

_EPILOG = """\
Beam's own options pass through, e.g. --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp;
those under `beam:` in the config are the defaults. Any setting of the config can be given as --set KEY=VALUE.

examples:
  python -m pipeline.preprocess --config configs/local.yaml
  python -m pipeline.preprocess --config configs/local.yaml --source ga4 --input 'export/events_2024*' \\
      --dataset_dir data/ga4 --start_date 2024-01-01 --end_date 2024-01-31
  python -m pipeline.preprocess --config configs/gcp.yaml --input 'bq://project.analytics_123.events_*' --dry_run
  python -m pipeline.preprocess --config configs/local.yaml --source table --input ratings.csv \\
      --set source.rating_column=stars --set rating.kind=linear --dataset_dir data/ratings
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and runs the job.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser(
        "python -m pipeline.preprocess",
        "Reads Google Analytics exports or a table; writes vocabularies, group-by TFRecords and the transform_fn.",
        epilog=_EPILOG,
    )
    flags = {
        "input": ("source.input", "GLOB", "files to read, local or gs://; or bq://PROJECT.DATASET.TABLE; quote it"),
        "source": ("source.kind", "ga360|ga4|table", "what the files hold"),
        "start_date": ("source.start_date", "DATE", "first day of the window, e.g. 2024-01-31"),
        "end_date": ("source.end_date", "DATE", "last day of the window, inclusive"),
        "split": ("split.kind", "none|last_n|time|random", "what to hold out for evaluation (docs/evaluation.md)"),
        "test_input": ("split.test_input", "GLOB", "files like those of --input that are held out whole"),
        "dataset_dir": ("dataset_dir", "DIR", "where the dataset goes, local or gs://"),
        **validate.BASELINE,
    }
    cli.add_flags(parser, flags, "a dataset that is")
    parser.add_argument("--dry_run", action="store_true", help="say what would be read (of BigQuery: SQL, bytes); stop")
    parser.add_argument(
        "--detach", action="store_true", help="submit the job and end; its own last step puts the dataset in its place"
    )
    args, beam_flags = parser.parse_known_args(argv)
    settings = cli.settings_with(args, flags)
    if args.dry_run:
        from pipeline.beam import options as beam_options
        from pipeline.sources import inputs

        options = beam_options.from_settings(settings, beam_flags)
        print(inputs.describe(settings))
        print(beam_options.describe(options))
        return
    (submit if args.detach else preprocess)(settings, beam_flags, args.replace)


def preprocess(settings: Settings, beam_flags: Sequence[str], replace: bool) -> dict:
    """Makes the dataset that the settings describe; returns its manifest.

    Raises:
        UserError: whatever the user can put right. GateError: the dataset is not like the last good one.
    """
    # Not before: `--help` and a mistake in the flags answer at once.
    cli.import_tensorflow()
    with cli.quiet_imports():
        from artifacts import publish
        from pipeline.beam import counters, progress
        from pipeline.beam import options as beam_options
        from pipeline.beam.block_store import BlockStore
        from pipeline.dataset import accounts, transforms
        from pipeline.sources import inputs, privacy

    started = time.time()
    root = cli.required(settings.dataset_dir, "dataset_dir")
    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_place(options)
    privacy.open_rules(settings.privacy)
    validate.open_baseline(settings.validation)
    test_files = inputs.match_test_input(settings)
    with publish.staged(root, "dataset", replace) as staging, inputs.opened(settings) as files:
        store = BlockStore(beam_options.shared_folder(options, f"{staging}/{accounts.TEMPORARY}/blocks"))
        with progress.waiting(f"preprocessing {len(files.files)} {'streams' if files.read else 'files'}"):
            last = partial(accounts.write_summary, path=join(staging, accounts.SUMMARY))
            result = beam_options.run(
                lambda pipeline: transforms.preprocess(pipeline, settings, files, staging, store, last, test_files),
                options,
            )
        summary = accounts.take_summary(staging)
        manifest = accounts.dataset_manifest(summary, settings, files, staging, started, test_files)
        manifest["steps"] = counters.by_step(result)
        manifest["compared"] = validate.check(manifest, settings.validation, root)
        accounts.write_manifest(Dataset(staging).manifest, "dataset", manifest)
    accounts.show_dataset(root, manifest)
    validate.show(manifest["compared"])
    return manifest


def submit(settings: Settings, beam_flags: Sequence[str], replace: bool) -> None:
    """Submits the job that makes the dataset, and leaves it to itself.

    Raises:
        UserError: whatever the user can put right by then. What comes later is in the job's log.
    """
    cli.import_tensorflow()
    with cli.quiet_imports():
        from artifacts import publish
        from pipeline.beam import finalize
        from pipeline.beam import options as beam_options
        from pipeline.beam.block_store import BlockStore
        from pipeline.dataset import accounts, transforms
        from pipeline.sources import inputs, privacy

    started, run = time.time(), uuid.uuid4().hex[:12]
    root = cli.required(settings.dataset_dir, "dataset_dir").rstrip("/")
    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_place(options)
    privacy.open_rules(settings.privacy)
    validate.open_baseline(settings.validation)
    test_files = inputs.match_test_input(settings)
    with locks.claim(root):
        publish.refuse_occupied(root, "dataset", replace)
    staging = f"{root}.partial-{run}"
    publish.make_directory(staging)
    try:
        with inputs.opened(settings, keep=True) as files:
            store = BlockStore(beam_options.shared_folder(options, f"{staging}/{accounts.TEMPORARY}/blocks"))
            last = finalize.LastStep(settings, files, test_files, root, staging, run, started, replace)
            beam_options.run(
                lambda pipeline: transforms.preprocess(pipeline, settings, files, staging, store, last, test_files),
                options,
                wait=False,
            )
    except BaseException:
        publish.remove(staging)
        raise
    print(f"submitted run {run}; when it is done, its dataset is in {root}, and until then in {staging}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
