"""The Beam job of a prediction: the pipeline, the summary of its files, and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

import apache_beam as beam

from artifacts import storage
from artifacts.manifests import ModelManifest, PredictionSections, PredictionsManifest
from artifacts.paths import Predictions, join
from configs import cli
from pipeline.beam import finalize
from pipeline.prediction import audiences, recommend
from pipeline.prediction.plan import Plan


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
        | "Once" >> beam.Create([join(staging, finalize.SUMMARY)])
        | "WriteSummary" >> beam.Map(_write_summary, beam.pvalue.AsIter(written))
    )


def _write_summary(path: str, shards: Iterable[recommend.Written]) -> None:
    files: dict[str, dict] = {}
    counts: Counter[str] = Counter()
    for shard in shards:
        files |= {name: file.model_dump() for name, file in shard.files.items()}
        counts.update(shard.counts)
    finalize.write_summary({"files": dict(sorted(files.items())), "counts": counts}, path)


def files_due(plan: Plan) -> tuple[str, int]:
    """Return the prefix of the files that show progress, and the number of them at the end."""
    if plan.options.returns_visitors:
        return audiences.SCORED, plan.user_shards
    prefix = Predictions("").prefix(plan.options.kind).rsplit("/", 1)[-1] + "-"
    return prefix, plan.answer_shards * (len(plan.options.formats) + bool(plan.options.table))


def remove_strays(staging: str, names: Set[str]) -> None:
    """Remove what a bundle that failed, or ran twice, left next to the files of the summary."""
    for name in storage.list_files(staging).keys() - names:
        storage.remove(join(staging, name))


def describe(summary: dict, plan: Plan, trained: ModelManifest, seconds: float) -> PredictionsManifest:
    """Return the manifest of the files in the summary."""
    rules = {name.removeprefix("rule."): n for name, n in sorted(summary["counts"].items()) if name.startswith("rule.")}
    return PredictionsManifest(
        kind=plan.options.output_kind,
        seconds=round(seconds, 3),
        counts=_counts(Counter(summary["counts"]), plan),
        rules=rules,
        factors="projected" if plan.projected else "trained",
        model_fingerprint=trained.digest(),
        dataset_fingerprint=trained.dataset.fingerprint,
        model_version=plan.stamp.model_version,
        run_time=plan.stamp.run_time.isoformat(),
        files=summary["files"],
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
        **_of_new_items(counts, plan),
        f"{asked}_with_fewer": counts["with_fewer"],
        f"{asked}_without": counts["without"],
    }
    return named | plan.listed | ({f"{asked}_unknown": len(plan.unknown)} if options.only else {})


def _of_new_items(counts: Counter[str], plan: Plan) -> dict[str, int]:
    """Return how many new items there are, and how many entries they have; nothing without new items."""
    unplaced = {"added_items_unplaced": plan.unplaced} if plan.unplaced else {}
    if not len(plan.new):
        return unplaced
    entries = {} if plan.options.returns_visitors else {"new_items_in_lists": counts["new_entries"]}
    return {"new_items": len(plan.new)} | entries | unplaced


def show(root: str, manifest: PredictionsManifest) -> None:
    """Print the counts, the rules that answered, the files and the speed."""
    asked, answered = next(iter(manifest.counts.items()))
    rows: list[tuple[str, int | str]] = [(name.replace("_", " "), count) for name, count in manifest.counts.items()]
    rows += [(f"answered by {rule}", count) for rule, count in manifest.rules.items()]
    rows += [
        ("files", len(manifest.files)),
        ("seconds", f"{manifest.seconds:.1f}"),
        (f"{asked} per second", f"{answered / max(manifest.seconds, 1e-3):,.0f}"),
    ]
    cli.print_table(f"{manifest.settings.prediction.kind.replace('_', ' ')} {root}", rows)
