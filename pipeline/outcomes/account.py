"""The account of an outcome: its files, its manifest, and what is worth a warning."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from artifacts import checksums, storage
from artifacts.manifests.outcome import ListCount, Outcome, OutcomeManifest, OutcomeSections, RunRecord
from artifacts.names import OUTCOME
from artifacts.paths import OutcomeFiles
from configs.nouns import counted
from pipeline.beam import finalize
from pipeline.outcomes.experiments import display as experiments
from pipeline.outcomes.transforms import Job
from pipeline.sources.lists.rows import LISTS

_LISTS = 100  # that the manifest names, those with the most exposures


class Complete(NamedTuple):
    """A finished outcome."""

    manifest: OutcomeManifest
    figures: Outcome


def complete(job: Job, summary: Mapping[str, Any], started: float, steps: dict[str, dict[str, int]]) -> Complete:
    """Write the figures and the manifest of a job into its staging directory, and return both."""
    counts, settings, files = Counter(summary["counts"]), job.settings, OutcomeFiles(job.staging)
    outcome = Outcome.model_validate(summary["outcome"])
    storage.write_bytes(files.figures, outcome.model_dump_json(indent=2).encode() + b"\n")
    evaluation = settings.evaluation
    manifest = OutcomeManifest(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        runs=[
            RunRecord(
                root=run.root,
                dataset=run.dataset.root,
                version=run.version,
                live_from=_iso(run.start_ms),
                live_until=_iso(run.end_ms),
            )
            for run in job.runs
        ],
        counts=_counts(counts),
        lists=lists_of(counts),
        excluded=excluded(counts),
        warnings=[*_warnings(counts, job), *experiments.warnings(outcome)],
        files={OUTCOME: checksums.describe(files.figures)},
        settings=OutcomeSections(
            outcome=settings.outcome,
            source=settings.source,
            resamples=evaluation.resamples,
            confidence=evaluation.confidence,
            seed=evaluation.seed,
        ),
        steps=steps,
    )
    finalize.write_manifest(manifest, job.staging)
    return Complete(manifest, outcome)


def lists_of(counts: Mapping[str, int]) -> dict[str, ListCount]:
    """Return exposures and clicks of the export's lists, those with the most exposures first."""
    found: dict[str, dict[str, int]] = {}
    for name, number in counts.items():
        unit, kind, of_list = (*name.split(".", 2), "", "")[:3]
        if unit == LISTS and kind in ("exposures", "clicks"):
            found.setdefault(of_list, {"exposures": 0, "clicks": 0})[kind] = number
    lists = {name: ListCount.model_validate(each) for name, each in found.items()}
    ordered = sorted(lists.items(), key=lambda item: (-item[1].exposures, -item[1].clicks, item[0]))
    return dict(ordered[:_LISTS])


def excluded(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the rows that were left out by reason, the most frequent first."""
    found = {name: number for name, number in counts.items() if ".skipped." in name or ".rejected." in name}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the other counts, without those of lists, days and events by name."""
    by_name = (f"{LISTS}.exposures.", f"{LISTS}.clicks.", "seen.")
    left_out = excluded(counts)
    return {name: counts[name] for name in sorted(counts) if name not in left_out and not name.startswith(by_name)}


def _warnings(counts: Counter[str], job: Job) -> Iterator[str]:
    """Yield a line for each thing that makes figures less than they could be, with what to do."""
    name, lists = job.settings.outcome.list_name, lists_of(counts)
    exposures, clicks = counts[f"{LISTS}.ours.exposures"], counts[f"{LISTS}.ours.clicks"]
    shown = counted(exposures, "exposure")
    if name and name not in lists and not exposures:
        others = ", ".join(list(lists)[:3]) or "none"
        yield f"the list {name} does not occur in the export, whose lists are {others}; wals outcome --lists shows all"
    elif name and not exposures:
        yield f"clicks in {name} have no exposures; send view_item_list, too, so that they can be rated"
    elif name and not clicks:
        yield f"no click on {shown} in {name}; check that the site sends select_item with the list"
    if (alone := counts[f"{LISTS}.skipped.click_without_exposure"]) and exposures:
        yield f"left out {counted(alone, 'click')} without an exposure of the same item before"
    yield from _of_exposures(counts, exposures)


def _of_exposures(counts: Counter[str], exposures: int) -> Iterator[str]:
    """Yield a line for exposures of items, of versions and of visitors that are not as expected."""
    shown, unlisted = counted(exposures, "exposure"), counts[f"{LISTS}.exposures_not_in_predictions"]
    if unlisted and unlisted == exposures:
        yield (
            f"no item of {shown} was in its visitor's list; check that the site sends the ids of the predictions as "
            "item_id (productSKU), and that these predictions are the site's"
        )
    elif unlisted:
        yield f"{unlisted:,} of {shown}: items that were not in the visitor's list"
    if unknown := counts[f"{LISTS}.skipped.version_not_in_predictions"]:
        left_out = counted(unknown, "exposure")
        yield f"left out {left_out} of versions that are not among the predictions; name theirs, too"
    if older := counts[f"{LISTS}.exposures_of_an_older_version"]:
        yield f"{counted(older, 'exposure')} of an older version than the newest of the time, counted for that version"
    if (doubled := counts[f"{LISTS}.skipped.duplicate_exposure"]) > max(exposures, 1) / 10:
        yield f"left out {counted(doubled, 'exposure')} that the site sent again; check that one tag alone sends them"
    if bots := counts["visitors.skipped.bot"]:
        events = counted(counts[f"{LISTS}.skipped.bot"], "list event")
        yield f"left out {counted(bots, 'visitor')} as bots, with {events}"


def _iso(time_ms: int) -> str:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).isoformat()
