"""The command that makes a dataset: wals preprocess --config configs/local.yaml"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from artifacts.manifests import DatasetManifest
from artifacts.names import ITEM, USER
from configs import cli
from configs.explain import explain
from configs.nouns import counted
from configs.settings import Settings
from pipeline import validate

if TYPE_CHECKING:
    import pyarrow as pa
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.dataset.features.choice import Choice
    from pipeline.dataset.grouping import Sizes
    from pipeline.sources.input_files import Input

_EPILOG = """\
Beam's own options pass through, e.g. --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp;
their defaults are under `beam:` in the config. Any setting of the config can be set as --set KEY=VALUE.

examples:
  wals preprocess --config configs/local.yaml
  wals preprocess --config configs/local.yaml --source ga4 --input 'export/events_2024*' \\
      --dataset_dir data/ga4 --start_date 2024-01-01 --end_date 2024-01-31
  wals preprocess --config configs/local.yaml --preset ga4_shop --explain_source
  wals preprocess --config configs/gcp.yaml --input 'bq://project.analytics_123.events_*' --dry_run
  wals preprocess --config configs/local.yaml --source table --input ratings.csv \\
      --set source.rating_column=stars --set rating.kind=linear --dataset_dir data/ratings
"""
_FLAGS = {
    "input": ("source.input", "GLOB", "files to read, local or gs://, or bq://PROJECT.DATASET.TABLE; quote it"),
    "source": ("source.kind", "ga360|ga4|table", "the kind of the files"),
    "preset": (
        "source.preset",
        "NAME",
        "what counts as interest, e.g. ga4_shop, in place of the config's settings for it",
    ),
    "start_date": ("source.start_date", "DATE", "first day of the window, e.g. 2024-01-31"),
    "end_date": ("source.end_date", "DATE", "last day of the window, inclusive"),
    "split": ("split.kind", "none|last_n|time|random", "what to hold out for evaluation (docs/evaluation.md)"),
    "test_input": ("split.test_input", "GLOB", "files like those of --input that are held out entirely"),
    "dataset_dir": ("dataset_dir", "DIR", "where to write the dataset, local or gs://"),
    "catalogue": ("catalogue", "FILE", "contentId and any columns, which win over the attributes of the data"),
    **validate.BASELINE,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and run the job."""
    parser = cli.parser(
        "wals preprocess",
        "Read Google Analytics exports or a table; write vocabularies, group-by TFRecords and the transform_fn.",
        epilog=_EPILOG,
    )
    cli.add_flags(parser, _FLAGS, "a dataset that is")
    parser.add_argument(
        "--explain_source", action="store_true", help="print the signals, page rules and attributes as YAML, and stop"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print what would be read (of BigQuery also the bytes) and stop"
    )
    parser.add_argument(
        "--detach", action="store_true", help="submit the job and exit; the job's last step publishes the dataset"
    )
    args, beam_flags = parser.parse_known_args(argv)
    if beam_flags:
        from pipeline.beam import options as options_of_beam

        options_of_beam.refuse_unknown(beam_flags, parser.flags())
    settings = cli.settings_with(args, _FLAGS)
    if args.explain_source:
        from pipeline.sources import inputs

        inputs.check(settings)
        print(explain(settings.source), end="")
    elif args.dry_run:
        _describe(settings, beam_flags, args.replace, args.catalogue is not None)
    elif args.detach:
        submit(settings, beam_flags, args.replace, args.catalogue is not None)
    else:
        preprocess(settings, beam_flags, args.replace, need_catalogue=args.catalogue is not None)


def _describe(settings: Settings, beam_flags: Sequence[str], replace: bool, need_catalogue: bool) -> None:
    """Print what a run would read and write; raise UserError if it could not start."""
    from artifacts import publish
    from artifacts.catalogue import in_bigquery
    from pipeline.beam import options as beam_options
    from pipeline.sources import inputs

    output = settings.dataset_dir and publish.check_output(settings.dataset_dir, "dataset", replace)
    inputs.check(settings)
    print(inputs.describe(settings))
    if catalogue := inputs.describe_catalogue(settings, need_catalogue):
        print(catalogue)
    if settings.item_features.fields and not in_bigquery(settings.catalogue or ""):
        from pipeline.dataset.features import choice

        print(choice.describe(settings, inputs.read_catalogue(settings, need_catalogue)))
    if settings.user_features.fields and not in_bigquery(settings.user_catalogue or ""):
        from pipeline.dataset.features import choice

        print(choice.describe(settings, inputs.read_user_catalogue(settings), USER))
    print(beam_options.describe(beam_options.from_settings(settings, beam_flags)))
    if output:
        print(output)


def preprocess(
    settings: Settings,
    beam_flags: Sequence[str],
    replace: bool,
    sizes: Sizes | None = None,
    need_catalogue: bool = False,
) -> DatasetManifest:
    """Make the dataset that the settings describe, and return its manifest.

    `sizes` of blocks and records are for tests. Raise GateError if the dataset differs too much from the last good one.
    """
    _import_libraries()
    from artifacts import publish
    from artifacts.paths import join
    from pipeline.beam import counters, finalize, progress
    from pipeline.dataset import display, transforms
    from pipeline.dataset.grouping import Sizes
    from pipeline.dataset.manifest import Job
    from pipeline.sources import inputs

    started = time.time()
    root = cli.required(settings.dataset_dir, "dataset_dir")
    publish.refuse_wildcards(root)
    options, test_files = _check(settings, beam_flags)
    attributes = _attributes(settings, need_catalogue)
    with publish.staged(root, "dataset", replace) as staging, inputs.opened(settings) as files:
        described = attributes.staged(join(staging, finalize.TEMPORARY))
        job = Job(settings, files, test_files, root, staging, started, sizes=sizes or Sizes(), **described)
        title = f"preprocessing {counted(len(files.files), 'stream' if files.read else 'file')}"
        with progress.preprocessing(title, len(files.files)):
            result = transforms.run(job, options, partial(finalize.write_summary, path=join(staging, finalize.SUMMARY)))
        manifest = job.make_manifest(finalize.take_summary(staging))
        manifest.steps = counters.by_step(result)
        finalize.write_manifest(manifest, staging)
    display.show(root, manifest)
    display.show_comparison(manifest.compared)
    return manifest


def submit(settings: Settings, beam_flags: Sequence[str], replace: bool, need_catalogue: bool = False) -> None:
    """Submit the job that makes the dataset, and do not wait for it; its own last step publishes the dataset."""
    _import_libraries()
    from artifacts import publish, storage
    from artifacts.paths import join
    from artifacts.storage import locks
    from pipeline.beam.finalize import TEMPORARY, PublishFromWorker
    from pipeline.dataset import transforms
    from pipeline.dataset.manifest import Job
    from pipeline.sources import inputs

    started, run = time.time(), uuid.uuid4().hex[:12]
    root = publish.target_of(cli.required(settings.dataset_dir, "dataset_dir"))
    publish.refuse_wildcards(root)
    options, test_files = _check(settings, beam_flags)
    attributes = _attributes(settings, need_catalogue)
    with locks.claim(root):
        publish.refuse_occupied(root, "dataset", replace)
    staging = f"{root}.partial-{run}"
    storage.make_directory(staging)
    try:
        with inputs.opened(settings, keep=True) as files:
            described = attributes.staged(join(staging, TEMPORARY))
            job = Job(settings, files, test_files, root, staging, started, **described)
            transforms.run(job, options, PublishFromWorker(job.make_manifest, root, staging, run, replace), wait=False)
    except BaseException:
        storage.remove(staging)
        raise
    print(f"submitted run {run}: it writes to {staging} and publishes the dataset in {root} when it is done")


class _Attributes(NamedTuple):
    """The tables that attributes of items and of visitors are in, and those that become features."""

    tables: tuple[pa.Table | None, pa.Table | None]
    choices: tuple[Choice, Choice]

    def staged(self, directory: str) -> dict[str, Any]:
        """Write the tables where the workers of a job can read them; return the job's fields."""
        from pipeline.sources.items import catalogue

        paths = (catalogue.stage(table, directory, side) for table, side in zip(self.tables, (ITEM, USER), strict=True))
        return dict(zip(("catalogue", "user_catalogue", "choice", "user_choice"), (*paths, *self.choices), strict=True))


def _attributes(settings: Settings, need_catalogue: bool) -> _Attributes:
    from pipeline.dataset.features import choice
    from pipeline.sources import inputs

    tables = inputs.read_catalogue(settings, need_catalogue), inputs.read_user_catalogue(settings)
    return _Attributes(tables, (choice.choose(settings, tables[0]), choice.choose(settings, tables[1], USER)))


def _import_libraries() -> None:
    """Import the job's libraries; `--help` and a wrong flag do not wait for them."""
    cli.import_tensorflow()
    with cli.quiet_imports():
        import pipeline.dataset.transforms  # noqa: F401


def _check(settings: Settings, beam_flags: Sequence[str]) -> tuple[PipelineOptions, Input | None]:
    """Return Beam's options and the test files, once all that can be checked before the job has been checked."""
    from pipeline.beam import options as beam_options
    from pipeline.dataset import comparison
    from pipeline.sources import input_files, privacy

    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_bucket(options)
    privacy.open_rules(settings.privacy)
    comparison.read_baseline(settings.validation)
    return options, input_files.match_test_files(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main))
