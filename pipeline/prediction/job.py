"""The Beam job of a prediction: the pipeline, the summary of its files, and the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import cast

import apache_beam as beam

from artifacts import storage
from artifacts.checksums import FileDescription
from artifacts.manifests import ModelManifest, PredictionSections, PredictionsManifest
from artifacts.paths import Predictions, join
from pipeline.beam.finalize import SUMMARY
from pipeline.prediction import audiences, recommend
from pipeline.prediction.plan import Plan
from pipeline.prediction.writers.answers import Stamp


def build(pipeline: beam.Pipeline, plan: Plan, staging: str) -> None:
    """Build the pipeline that writes the files of answers and their summary."""
    if plan.options.returns_visitors:
        written = audiences.build(pipeline, plan, staging)
    else:
        shards = plan.answer_shards
        written = (
            pipeline
            | "Shards" >> beam.Create(range(shards), reshuffle=shards > 1)
            | "Answer" >> beam.ParDo(recommend.AnswerShard(plan, staging, shards))
        )
    (
        pipeline
        | "Once" >> beam.Create([join(staging, SUMMARY)])
        | "WriteSummary" >> beam.Map(_write_summary, beam.pvalue.AsIter(written))
    )


def _write_summary(path: str, shards: Iterable[dict]) -> None:
    files: list[dict] = []
    counts: Counter[str] = Counter()
    for shard in shards:
        files += shard["files"]
        counts.update(shard["counts"])
    files.sort(key=lambda file: file["name"])
    storage.write_bytes(path, json.dumps({"files": files, "counts": counts}).encode())


def files_due(plan: Plan) -> tuple[str, int]:
    """Return the prefix of the files that show progress, and the number of them at the end."""
    if plan.options.returns_visitors:
        return audiences.SCORED, plan.user_shards
    prefix = Predictions("").prefix(plan.options.kind).rsplit("/", 1)[-1] + "-"
    return prefix, plan.answer_shards * (len(plan.options.formats) + bool(plan.options.table))


def remove_strays(staging: str, names: set[str]) -> None:
    """Remove what a bundle that failed, or ran twice, left next to the files of the summary."""
    for name in storage.list_files(staging).keys() - names:
        storage.remove(join(staging, name))


def describe(summary: dict, plan: Plan, trained: ModelManifest, seconds: float) -> PredictionsManifest:
    """Return the manifest of the files in the summary."""
    stamp = cast(Stamp, plan.stamp)
    rules = {name.removeprefix("rule."): n for name, n in sorted(summary["counts"].items()) if name.startswith("rule.")}
    return PredictionsManifest(
        kind=plan.options.output_kind,
        seconds=round(seconds, 3),
        counts=_counts(Counter(summary["counts"]), plan),
        rules=rules,
        factors="projected" if plan.projected else "trained",
        model_fingerprint=trained.digest(),
        dataset_fingerprint=trained.dataset.fingerprint,
        model_version=stamp.model_version,
        run_time=stamp.run_time.isoformat(),
        files={
            file["name"]: FileDescription(bytes=file["bytes"], crc32c=file["crc32c"], records=file["records"])
            for file in summary["files"]
        },
        settings=PredictionSections(prediction=plan.options),
    )


def _counts(counts: Counter[str], plan: Plan) -> dict[str, int]:
    """Return the counts of the manifest; those who were asked come first."""
    options = plan.options
    asked, entries = ("visitors", "items") if options.asks_visitors else ("items", "visitors")
    named = {asked: counts["answered"]}
    if not options.kind.startswith("similar_"):
        named[entries] = plan.users if options.returns_visitors else plan.items
    named |= {
        options.kind: counts["entries"],
        f"{asked}_with_fewer": counts["with_fewer"],
        f"{asked}_without": counts["without"],
    }
    return named | ({f"{asked}_unknown": len(plan.unknown)} if options.only else {})
