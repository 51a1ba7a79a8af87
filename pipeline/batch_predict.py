"""The job that makes predictions: python -m pipeline.batch_predict --config configs/local.yaml"""

from __future__ import annotations

import contextlib
import glob
import json
import sys
import time
from collections.abc import Iterable, Sequence

from configs import commands, manifest
from configs.artifacts import Dataset, Model, Predictions, join
from configs.errors import UserError
from configs.settings import Settings

_EPILOG = """\
Beam's own options pass through, e.g. --runner=DataflowRunner; those under `beam:` in the config are the defaults.
Any setting of the config can be given as --set KEY=VALUE.

example:
  python -m pipeline.batch_predict --config configs/local.yaml --set prediction.top_k=20 --replace
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and runs the job.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = commands.parser(
        "python -m pipeline.batch_predict",
        "Recommends the top K contents to every visitor of a dataset, by the site's own ids.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "the dataset, local or gs://"),
        "model_dir": ("model_dir", "DIR", "the model that was trained on it"),
        "output_dir": ("predictions_dir", "DIR", "where the predictions go"),
        "top_k": ("prediction.top_k", "K", "recommendations a visitor"),
    }
    commands.add_flags(parser, flags, "predictions that are")
    args, beam_flags = parser.parse_known_args(argv)
    settings = commands.settings_with(args, flags)
    predict(settings, beam_flags, args.replace)


def predict(settings: Settings, beam_flags: Sequence[str], replace: bool) -> dict:
    """Makes the predictions that the settings describe; returns their manifest.

    Raises:
        UserError: whatever the user can put right.
    """
    # Not before: `--help` and a mistake in the flags answer at once.
    import apache_beam as beam

    from pipeline import accounts, beam_options, publish
    from pipeline.prediction import shard

    started = time.time()
    root = commands.required(settings.predictions_dir, "output_dir")
    options = beam_options.from_settings(settings, beam_flags)
    plan, model_manifest = _plan(settings)
    _check_factors(plan)
    with publish.staged(root, "predictions", replace) as staging:
        publish.make_directory(staging)

        def build(pipeline: beam.Pipeline) -> None:
            files = (
                pipeline
                | "Shards" >> beam.Create(range(plan.user_shards), reshuffle=plan.user_shards > 1)
                | "Predict" >> beam.ParDo(shard.PredictShard(plan, staging))
            )
            (
                pipeline
                | "Once" >> beam.Create([join(staging, accounts.SUMMARY)])
                | "WriteSummary" >> beam.Map(_write_summary, beam.pvalue.AsIter(files))
            )

        with accounts.waiting(f"recommending to {plan.users:,} visitors"):
            beam_options.run(build, options)
        files = accounts.take_summary(staging)
        _remove_strays(staging, {file["name"] for file in files})
        content = _manifest(files, settings, plan, model_manifest, started)
        accounts.write_manifest(Predictions(staging).manifest, "predictions", content)
    accounts.show_predictions(root, content)
    return content


def _plan(settings: Settings):
    """Reads what dataset and model say of themselves, and whether they belong together."""
    from pipeline import publish
    from pipeline.prediction.shard import Plan

    dataset = Dataset(commands.required(settings.dataset_dir, "dataset_dir").rstrip("/"))
    model = Model(commands.required(settings.model_dir, "model_dir").rstrip("/"))
    made = publish.read_manifest(dataset.manifest, "dataset")
    trained = publish.read_manifest(model.manifest, "model")
    if trained["dataset"]["fingerprint"] != manifest.fingerprint(made):
        raise UserError(f"{model.root} was trained on another dataset than {dataset.root}; train again on this one")
    items, top_k = made["counts"]["items"], settings.prediction.top_k
    if top_k > items:
        raise UserError(f"top_k {top_k} is larger than the catalogue of {items} contents; ask for {items} or fewer")
    _check_files(dataset, made)
    plan = Plan(
        dataset=dataset,
        model=model,
        users=made["counts"]["users"],
        items=items,
        user_shards=made["shards"]["items_for_user"],
        item_shards=made["shards"]["users_for_item"],
        compressed=made["compression"] == "gzip",
        top_k=top_k,
        include_seen=settings.prediction.include_seen,
        block_size=settings.prediction.block_size,
        formats=settings.prediction.formats,
    )
    return plan, trained


def _check_files(dataset: Dataset, made: dict) -> None:
    """Looks whether the files that the workers will read are the ones that the manifest describes.

    A vocabulary of other lines would give visitors each other's recommendations; a file of rows that lost its end
    between two records would have contents recommended to those who have them.
    """
    from apache_beam.io.filesystems import FileSystems

    vocabularies = (dataset.vocab_users, dataset.vocab_items)
    matches = FileSystems.match([glob.escape(dataset.items_for_user) + "-*", *map(glob.escape, vocabularies)])
    sizes = {file.path.rsplit("/", 1)[-1]: file.size_in_bytes for match in matches for file in match.metadata_list}
    for name, file in made["files"].items():
        path = join(dataset.root, name)
        if not path.startswith((dataset.items_for_user, *vocabularies)):
            continue
        size = sizes.get(name.rsplit("/", 1)[-1])
        if size is None:
            raise UserError(f"{path} does not exist; make the dataset again")
        if size != file["bytes"]:
            raise UserError(f"{path} has {size} bytes where the manifest says {file['bytes']}; make the dataset again")


def _check_factors(plan) -> None:
    """The first shard of both tables, which shows most of what can be wrong before any worker starts."""
    from pipeline.prediction import factors

    tables = (
        (plan.model.user_factors, plan.user_shards, plan.users),
        (plan.model.item_factors, plan.item_shards, plan.items),
    )
    widths = []
    for prefix, shards, rows in tables:
        with contextlib.closing(factors.read_blocks(prefix, 0, shards, len(range(0, rows, shards)), 1)) as blocks:
            widths.append(next(blocks).shape[1])
    if widths[0] != widths[1]:
        raise UserError(f"{plan.model.root}: users have {widths[0]} factors, contents {widths[1]}; train again")


def _remove_strays(staging: str, names: set[str]) -> None:
    """Removes what a bundle that failed, or was done twice, left beside the files that count."""
    from apache_beam.io.filesystems import FileSystems

    from pipeline.publish import list_files

    strays = [path for path in list_files(staging) if path[len(staging) + 1 :] not in names]
    if strays:
        FileSystems.delete(strays)


def _write_summary(path: str, files: Iterable[dict]) -> None:
    from pipeline.publish import write_file

    write_file(path, json.dumps(sorted(files, key=lambda file: file["name"])).encode())


def _manifest(files: list[dict], settings: Settings, plan, trained: dict, started: float) -> dict:
    first = [file for file in files if file["format"] == plan.formats[0]]
    counts = {
        "visitors": sum(file["records"] for file in first),
        "contents": plan.items,
        "recommendations": sum(file["recommendations"] for file in first),
        "visitors_with_fewer": sum(file["with_fewer"] for file in first),
    }
    described = {file["name"]: {name: file[name] for name in ("records", "bytes", "crc32c")} for file in files}
    return {
        "seconds": round(time.time() - started, 3),
        "counts": counts,
        "model_fingerprint": manifest.digest(trained),
        "dataset_fingerprint": trained["dataset"]["fingerprint"],
        "files": described,
        "settings": settings.model_dump(mode="json", include={"prediction"}),
    }


if __name__ == "__main__":
    sys.exit(commands.run(main))
