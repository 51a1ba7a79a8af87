"""The account of a prediction: its manifest, and what is printed of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from artifacts.manifests import (
    ExperimentRecord,
    ModelManifest,
    PredictionSections,
    PredictionsManifest,
)
from artifacts.manifests.experiment import VariantRecord
from configs import cli
from configs.errors import UserError
from pipeline.beam import finalize
from pipeline.prediction import recommend
from pipeline.prediction.plan import Plan
from pipeline.prediction.recommend import Written


def summary_of(shards: Iterable[Written]) -> dict:
    """Return the files of all shards by name, and the sums of their counts."""
    files: dict[str, dict] = {}
    counts: Counter[str] = Counter()
    for shard in shards:
        files |= {name: file.model_dump() for name, file in shard.files.items()}
        counts.update(shard.counts)
    return {"files": dict(sorted(files.items())), "counts": counts}


def noun(plan: Plan) -> str:
    """Return what is answered: visitors or items."""
    return "visitors" if plan.options.asks_visitors else "items"


def title(plan: Plan) -> str:
    """Return what the prediction makes, such as `recommendations of 2,000 visitors`."""
    number = plan.users if plan.options.asks_visitors else plan.items
    return f"{plan.options.kind.replace('_', ' ')} of {number:,} {noun(plan)}"


def complete(
    summary: dict,
    plan: Plan,
    trained: ModelManifest,
    started: float,
    staging: str,
    steps: dict[str, dict[str, int]] | None = None,
) -> PredictionsManifest:
    """Write the manifest of the files in the summary, and return it; raise UserError if nothing was answered.

    started: when the work began, as seconds since 1970. steps: rows and bytes by step, as a Beam job counts them.
    """
    if not summary["files"]:
        raise UserError("nothing is left to answer: prediction.only, allow, block and max_age_days exclude all")
    manifest = _describe(summary, plan, trained, time.time() - started)
    manifest.steps = steps or {}
    finalize.write_manifest(manifest, staging)
    return manifest


def _describe(summary: dict, plan: Plan, trained: ModelManifest, seconds: float) -> PredictionsManifest:
    rules = {name.removeprefix("rule."): n for name, n in sorted(summary["counts"].items()) if name.startswith("rule.")}
    return PredictionsManifest(
        kind=plan.options.output_kind,
        seconds=round(seconds, 3),
        counts=_counts(Counter(summary["counts"]), plan),
        rules=rules,
        factors="projected" if plan.projected else "trained",
        experiment=_experiment(summary["counts"], plan),
        model_fingerprint=trained.digest(),
        dataset_fingerprint=trained.dataset.fingerprint,
        model_version=plan.stamp.model_version,
        run_time=plan.stamp.run_time.isoformat(),
        files=summary["files"],
        settings=PredictionSections(
            prediction=plan.options, exploration=plan.exploration if plan.exploration.share else None
        ),
    )


def _experiment(counts: Mapping[str, int], plan: Plan) -> ExperimentRecord | None:
    """Return the record of the experiment, with the visitors of each variant."""
    if plan.experiment is None:
        return None
    shares = dict(zip(plan.experiment.variants, plan.experiment.shares, strict=True))
    variants = {
        one.name: VariantRecord(
            share=shares[one.name],
            model_version=one.plan.stamp.model_version,
            is_holdout=one.is_holdout,
            visitors=counts.get(f"variant.{one.name}", 0),
        )
        for one in plan.variants
        if one.name is not None
    }
    excluded = counts.get(f"variant.{recommend.EXCLUDED}", 0)
    return ExperimentRecord(
        name=plan.experiment.name,
        salt=plan.experiment.salt,
        variants=variants,
        excluded=excluded,
        planned_visitors=plan.experiment.planned_visitors,
    )


def _counts(counts: Counter[str], plan: Plan) -> dict[str, int]:
    """Return the counts of the manifest; those who were asked come first."""
    options = plan.options
    asked, entries = noun(plan), "items" if options.asks_visitors else "visitors"
    named = {asked: counts["answered"]}
    if not options.kind.startswith("similar_"):
        named[entries] = plan.users if options.returns_visitors else plan.items
    named |= {
        options.kind: counts["entries"],
        **_of_new_items(counts, plan),
        **({"explored": counts["explored"]} if plan.exploration.share else {}),
        **({"items_resting": counts["resting"]} if options.unclicked_weight else {}),
        f"{asked}_with_fewer": counts["with_fewer"],
        f"{asked}_without": counts["without"],
    }
    return named | plan.listed | ({f"{asked}_unknown": len(plan.unknown)} if options.only else {})


def _of_new_items(counts: Counter[str], plan: Plan) -> dict[str, int]:
    """Return how many new items there are, and how many entries they have; nothing without new items."""
    unplaced = {"added_items_unplaced": plan.unplaced} if plan.unplaced else {}
    if plan.new.newest:
        unplaced |= {"new_items_without_attributes": len(plan.new.newest)}
    if not plan.new.all_ids:
        return unplaced
    entries = {} if plan.options.returns_visitors else {"new_items_in_lists": counts["new_entries"]}
    return {"new_items": len(plan.new)} | entries | unplaced


def show_plan(root: str, plan: Plan) -> None:
    """Print what a prediction would write."""
    options, asks = plan.options, noun(plan)
    total = plan.users if options.asks_visitors else plan.items
    rows: list[tuple[str, int | str]] = [(asks, total), ("entries in a list, at most", options.top_k)]
    rows += [(name.replace("_", " "), count) for name, count in plan.listed.items()]
    if options.only:
        rows.append((f"{asks} of prediction.only that are unknown", len(plan.unknown)))
    rows += [("factors", "projected" if plan.projected else "trained"), ("new items", len(plan.new))]
    formats = [*options.formats, *([f"table {options.table}"] if options.table else [])]
    cli.print_table(f"would write {options.kind.replace('_', ' ')} {root}", [*rows, ("formats", ", ".join(formats))])


def show(root: str, manifest: PredictionsManifest) -> None:
    """Print the counts, the rules that answered, the files and the speed."""
    asked, answered = next(iter(manifest.counts.items()))
    rows: list[tuple[str, int | str]] = [(name.replace("_", " "), count) for name, count in manifest.counts.items()]
    rows += [(f"answered by {rule}", count) for rule, count in manifest.rules.items()]
    if manifest.experiment:
        variants = manifest.experiment.variants
        rows += [(f"{asked} of variant {name}", variant.visitors) for name, variant in variants.items()]
        rows.append((f"{asked} excluded from the experiment", manifest.experiment.excluded))
    rows += [
        ("files", len(manifest.files)),
        ("seconds", f"{manifest.seconds:.1f}"),
        (f"{asked} per second", f"{answered / max(manifest.seconds, 1e-3):,.0f}"),
    ]
    cli.print_table(f"{manifest.settings.prediction.kind.replace('_', ' ')} {root}", rows)
