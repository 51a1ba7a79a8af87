"""The job that makes predictions: python -m pipeline.batch_predict --config configs/local.yaml"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from artifacts import storage
from artifacts.checksums import FileDescription
from artifacts.manifests import ModelManifest, PredictionSections, PredictionsManifest
from artifacts.paths import Predictions, join
from configs import cli
from configs.errors import UserError
from configs.settings import Settings

if TYPE_CHECKING:
    from pipeline.prediction.plan import Plan
    from pipeline.prediction.writers.answers import Stamp

_EPILOG = """\
Beam's own options pass through, e.g. --runner=DataflowRunner; those under `beam:` in the config are the defaults.
Any setting of the config can be given as --set KEY=VALUE.

examples:
  python -m pipeline.batch_predict --config configs/local.yaml --set prediction.top_k=20 --replace
  python -m pipeline.batch_predict --config configs/local.yaml --set prediction.block=out_of_stock.txt --replace
  python -m pipeline.batch_predict --config configs/local.yaml --kind audiences --set prediction.only=new.txt
"""

_DIRECTORIES = {  # kind -> the setting that says where it goes
    "recommendations": "predictions_dir",
    "audiences": "audiences_dir",
    "similar_items": "similar_items_dir",
    "similar_visitors": "similar_visitors_dir",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and runs the job.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser(
        "python -m pipeline.batch_predict",
        "Recommends items to every visitor, or finds visitors for every item, by the site's own ids.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "the dataset, local or gs://"),
        "model_dir": ("model_dir", "DIR", "the model that was trained on it"),
        "kind": ("prediction.kind", "KIND", ", ".join(_DIRECTORIES)),
        "top_k": ("prediction.top_k", "K", "entries of an answer"),
    }
    cli.add_flags(parser, flags, "predictions that are")
    parser.add_argument("--output_dir", metavar="DIR", help="where the predictions go; by kind, e.g. predictions_dir")
    args, beam_flags = parser.parse_known_args(argv)
    settings = cli.settings_with(args, flags)
    predict(settings, beam_flags, args.replace, args.output_dir)


def predict(
    settings: Settings, beam_flags: Sequence[str], replace: bool, output_dir: str | None = None
) -> PredictionsManifest:
    """Make the predictions that the settings describe, and return their manifest.

    Args:
        output_dir: where they go; None for the directory that the settings name for their kind.

    Raises:
        UserError: whatever the user can put right.
    """
    # Not before: `--help` and a mistake in the flags answer at once.
    from artifacts import publish
    from pipeline.beam import counters, finalize, progress
    from pipeline.beam import options as beam_options
    from pipeline.prediction import display
    from pipeline.prediction import plan as plans

    started, kind = time.time(), settings.prediction.kind
    root = cli.required(output_dir or getattr(settings, _DIRECTORIES[kind]), "output_dir")
    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_bucket(options)
    plan, trained = plans.make(settings)
    if settings.prediction.table:
        from pipeline.prediction.writers import bigquery

        bigquery.check(settings)
    with publish.staged(root, _manifest_kind(kind), replace) as staging:
        with progress.watching(f"{kind.replace('_', ' ')} of {_asked(plan)}", staging, *_files_due(plan)):
            result = beam_options.run(lambda pipeline: _build(pipeline, plan, staging), options)
        summary = finalize.take_summary(staging)
        if not summary["files"]:
            raise UserError("nothing is left to answer: prediction.only, allow, block and max_age_days exclude all")
        _remove_strays(staging, {file["name"] for file in summary["files"]})
        manifest = _manifest(summary, settings, plan, trained, started)
        manifest.steps = counters.by_step(result)
        finalize.write_manifest(manifest, staging)
    if settings.prediction.table:
        bigquery.load(settings, root, manifest)
    display.show(root, manifest)
    return manifest


def _manifest_kind(kind: str) -> str:
    return "predictions" if kind == "recommendations" else kind


def _asked(plan: Plan) -> str:
    return f"{plan.users:,} visitors" if plan.options.asks_visitors else f"{plan.items:,} items"


def _files_due(plan: Plan) -> tuple[str, int]:
    """How the files begin that show how far the job is, and how many there will be."""
    from pipeline.prediction import audiences

    if plan.options.returns_visitors:
        return audiences.SCORED, plan.user_shards
    shards = plan.user_shards if plan.options.asks_visitors else plan.item_shards
    prefix = Predictions("").prefix(plan.options.kind).rsplit("/", 1)[-1] + "-"
    return prefix, shards * (len(plan.options.formats) + bool(plan.options.table))


def _build(pipeline: Any, plan: Plan, staging: str) -> None:
    import apache_beam as beam

    from pipeline.beam.finalize import SUMMARY
    from pipeline.prediction import audiences, recommend

    if plan.options.returns_visitors:
        found = audiences.build(pipeline, plan, staging)
    else:
        shards = plan.user_shards if plan.options.asks_visitors else plan.item_shards
        found = (
            pipeline
            | "Shards" >> beam.Create(range(shards), reshuffle=shards > 1)
            | "Answer" >> beam.ParDo(recommend.AnswerShard(plan, staging, shards))
        )
    (
        pipeline
        | "Once" >> beam.Create([join(staging, SUMMARY)])
        | "WriteSummary" >> beam.Map(_write_summary, beam.pvalue.AsIter(found))
    )


def _remove_strays(staging: str, names: set[str]) -> None:
    """Remove what a bundle that failed, or ran twice, left next to the files of the summary."""
    for name in storage.list_files(staging).keys() - names:
        storage.remove(join(staging, name))


def _write_summary(path: str, found: Iterable[dict]) -> None:
    files: list[dict] = []
    counts: Counter[str] = Counter()
    for shard in found:
        files += shard["files"]
        counts.update(shard["counts"])
    files.sort(key=lambda file: file["name"])
    storage.write_bytes(path, json.dumps({"files": files, "counts": counts}).encode())


def _manifest(
    summary: dict, settings: Settings, plan: Plan, trained: ModelManifest, started: float
) -> PredictionsManifest:
    counts, kind = Counter(summary["counts"]), plan.options.kind
    asked, given = ("visitors", "items") if plan.options.asks_visitors else ("items", "visitors")
    named = {asked: counts["answered"]}
    if not kind.startswith("similar_"):
        named[given] = plan.users if plan.options.returns_visitors else plan.items
    named |= {
        kind: counts["entries"],
        f"{asked}_with_fewer": counts["with_fewer"],
        f"{asked}_without": counts["without"],
    }
    if plan.options.only:
        named[f"{asked}_unknown"] = len(plan.unknown)
    stamp = cast("Stamp", plan.stamp)
    return PredictionsManifest(
        kind=_manifest_kind(kind),
        seconds=round(time.time() - started, 3),
        counts=named,
        rules={rule.removeprefix("rule."): n for rule, n in sorted(counts.items()) if rule.startswith("rule.")},
        factors="projected" if plan.projected else "trained",
        model_fingerprint=trained.digest(),
        dataset_fingerprint=trained.dataset.fingerprint,
        model_version=stamp.model_version,
        run_time=stamp.run_time.isoformat(),
        files={
            file["name"]: FileDescription(bytes=file["bytes"], crc32c=file["crc32c"], records=file["records"])
            for file in summary["files"]
        },
        settings=PredictionSections(prediction=settings.prediction),
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
