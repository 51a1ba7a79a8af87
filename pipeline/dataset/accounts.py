"""What a job says of its run: the checks on its counts, the manifest, and the table at the end."""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems
from rich.console import Console
from rich.table import Table

from artifacts import publish
from artifacts.manifests import stamp
from artifacts.names import HELD_OUT
from artifacts.paths import Dataset, join
from artifacts.privacy import key_name
from artifacts.storage import open_to_read
from artifacts.vocabulary import iterate_vocabulary
from configs.errors import UserError
from configs.settings import Settings, SourceSettings, SplitSettings
from pipeline.dataset import dataset_statistics
from pipeline.dataset.grouping import SIDES
from pipeline.interactions import splits
from pipeline.sources import privacy
from pipeline.sources.extract import RECORDS
from pipeline.sources.inputs import Input
from pipeline.verify import describe

SUMMARY, TEMPORARY = "summary.json", "tmp"  # of a job at work, below its staging root

_SHOWN = 10
_VISITOR_FIELD = {"ga360": "fullVisitorId", "ga4": "user_pseudo_id"}


def write_summary(summary: Mapping[str, Any], path: str) -> None:
    """Writes what the pipeline counted, for the submitter to read when it has ended."""
    publish.write_file(path, json.dumps(summary).encode())


def take_summary(staging: str) -> Any:
    """Reads what the pipeline counted, and tidies up behind it."""
    path = join(staging, SUMMARY)
    with open_to_read(path) as file:
        summary = json.loads(file.read())
    FileSystems.delete([path])
    tidy(staging)
    return summary


def tidy(staging: str) -> None:
    """Removes what the pipeline needed on its way, and what bundles left that were done twice."""
    publish.remove(join(staging, TEMPORARY))
    publish.remove_leftovers(Dataset(staging).rejected)


def dataset_manifest(
    summary: Mapping[str, Any],
    settings: Settings,
    files: Input,
    staging: str,
    started: float,
    test_files: Input | None = None,
) -> dict[str, Any]:
    """What the dataset says of itself.

    Raises:
        UserError: there is nothing in it, or too much of the input was rejected.
    """
    counts: Counter[str] = Counter(summary["counts"])
    dataset = Dataset(staging)
    refuse_useless(counts, settings, dataset.rejected)
    split = split_account(counts, settings)
    publish.write_file(dataset.statistics, dataset_statistics.describe(counts, settings.rating))
    users, items = _describe_vocabulary(dataset.vocab_users), _describe_vocabulary(dataset.vocab_items)
    described = {file["name"]: {key: file[key] for key in file if key != "name"} for file in summary["files"]}
    for path, description in ((dataset.vocab_users, users), (dataset.vocab_items, items)):
        described[path.removeprefix(f"{staging}/")] = description
    described[dataset.statistics.removeprefix(f"{staging}/")] = describe(dataset.statistics)
    rejected = by_reason(counts, "rejected")
    sides = (*SIDES, HELD_OUT) if settings.split.holds_out else SIDES
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
        "counts": {
            "files_read": len(files.files) + len(test_files.files if test_files else ()),
            "files_outside_window": files.outside,
            "rows_read": counts["records.read"],
            "rows_rejected": sum(rejected.values()),
            "interactions": counts["pairs.used"],
            "users": users["records"],
            "items": items["records"],
        },
        "rejected": rejected,
        "skipped": by_reason(counts, "skipped"),
        "split": split,
        "capped_at_max_dwell": counts["pairs.capped_at_max_dwell"],
        "median": summary["median"],
        "days": days_seen(counts),
        "shards": {side: sum(name.startswith(side) for name in described) for side in sides},
        "compression": "gzip" if settings.dataset.gzip else "none",
        "bigquery": dict(files.about) or None,
        "files": described,
        "visitors_hashed_with": key_name(privacy.rules(settings.privacy)[0]),
        "settings": settings.model_dump(mode="json", include={"source", "rating", "split", "dataset"}),
    }


def split_account(counts: Counter[str], settings: Settings) -> dict[str, Any]:
    """What was held out, and what could not be, for the manifest; `kind` alone where there is no split.

    Raises:
        UserError: train and the test files share pairs, or nothing could be held out.
    """
    split = settings.split
    if not split.holds_out:
        return {"kind": "none"}
    shared = counts[splits.IN_TRAIN]
    if split.test_input and shared and not split.drop_shared:
        raise UserError(
            f"{shared} pairs of {split.test_input} are in train too, so that they cannot tell how good a model is; "
            "take them out of one, or set split.drop_shared=true to leave them out of test"
        )
    if not counts[splits.HELD_OUT]:
        raise UserError(f"nothing could be held out: {_why_nothing_held(counts, split)}")
    return {
        "kind": "test_input" if split.test_input else split.kind,
        "held_out": counts[splits.HELD_OUT],
        "visitors_with": counts[splits.VISITORS],
        "visitors_without": counts[splits.WITHOUT],
        "already_in_train": shared,
        "unknown_visitor": counts[splits.NO_VISITOR],
        "unknown_item": counts[splits.NO_ITEM],
    }


def _why_nothing_held(counts: Counter[str], split: SplitSettings) -> str:
    unknown = counts[splits.NO_VISITOR] + counts[splits.NO_ITEM]
    if unknown:
        return f"of {unknown} pairs the visitor or the item is not in train; are the ids of one kind?"
    if split.kind == "time":
        return f"no view lies at or behind split.time {split.time}, or all of them repeat what train has"
    if split.test_input:
        return f"{split.test_input} holds no pair that train has not"
    return f"no visitor has split.min_items ({split.min_items}) items, or the share of them is below one"


def _describe_vocabulary(path: str) -> dict[str, Any]:
    """Number of ids, bytes and checksum of a vocabulary."""
    records, size, checksum = 0, 0, google_crc32c.Checksum()
    for line in iterate_vocabulary(path):
        records, size = records + 1, size + len(line) + 1
        checksum.update(line + b"\n")
    return {"records": records, "bytes": size, "crc32c": checksum.hexdigest().decode()}


def refuse_useless(counts: Counter[str], settings: Settings, rejected_dir: str) -> None:
    """Stops a run whose input is empty, elsewhere, or garbage.

    Raises:
        UserError: saying which, and what was found instead.
    """
    source = settings.source
    rejected = by_reason(counts, "rejected")
    rejected_rows = sum(count for name, count in counts.items() if name.startswith(f"{RECORDS}.rejected."))
    read = counts[f"{RECORDS}.read"]
    if read == 0:
        raise UserError(
            f"{source.query or source.input}: the {'tables' if source.in_bigquery else 'files'} hold no rows"
        )
    if counts[f"{RECORDS}.skipped.outside_window"] == read - rejected_rows and read > rejected_rows:
        days = days_seen(counts)
        raise UserError(
            f"no row lies in the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"the files hold {days['first']} to {days['last']}"
        )
    if (
        _VISITOR_FIELD.get(source.kind)
        and max(counts[f"{RECORDS}.rejected.visitor_id_missing"], counts[f"{RECORDS}.skipped.no_visitor_id"]) == read
    ):
        raise UserError(
            f"no row has a {_VISITOR_FIELD[source.kind]}: are these {source.kind} exports? "
            "--source says what the files hold"
        )
    if rejected_rows > source.max_reject_fraction * read:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items())
        raise UserError(
            f"{rejected_rows} of {read} rows were rejected, more than source.max_reject_fraction "
            f"{source.max_reject_fraction}: {reasons}; the first: {_first_rejected(rejected_dir)}"
        )
    if counts["pairs.read"] == 0 and counts[splits.VISITORS]:
        days = days_seen(counts)
        behind = f"; the files hold {days['first']} to {days['last']}" if days["first"] else ""
        raise UserError(f"no view lies before split.time {settings.split.time}: nothing is left to train on{behind}")
    if counts["pairs.read"] == 0:
        raise UserError(f"no interactions in {read} rows: {_why_nothing(counts, source)}")
    if counts["pairs.used"] == 0:
        raise UserError(
            f"the minimum counts of dataset.min_items_per_user and min_users_per_item leave none of "
            f"{counts['pairs.read']} interactions; lower them"
        )


def _first_rejected(rejected_dir: str) -> str:
    """Where the first of the rejected rows stands; its ids are nobody's business."""
    for path in sorted(publish.list_files(rejected_dir)):
        with open_to_read(path) as file:
            rows = map(json.loads, file)
            row = next((row for row in rows if "record" in row), None)  # bots have none
        if row:
            return " ".join(
                [f"{row['reason']}, {row['file']}, record {row['record']}", row.get("complaint", "")]
            ).strip()
    return "not found"


def _why_nothing(counts: Counter[str], source: SourceSettings) -> str:
    if source.kind == "ga360":
        seen = _seen(counts, "seen.dimension.")
        what, key = f"custom dimension {source.item_dimension_index}", str(source.item_dimension_index)
        setting = "source.item_dimension_index"
    else:
        seen = _seen(counts, "seen.parameter.")
        what, key, setting = (
            f"parameter {source.item_parameter}",
            source.item_parameter,
            "source.item_parameter",
        )
    if source.in_bigquery and source.kind != "table":
        return f"none has the {what}; set {setting}"
    if source.kind != "table" and key not in seen:
        shown = ", ".join(f"{name} ({count})" for name, count in list(seen.items())[:_SHOWN]) or "none at all"
        return f"none has the {what}; seen were {shown}; set {setting}"
    skipped = by_reason(counts, "skipped")
    return ", ".join(f"{reason} {count}" for reason, count in skipped.items()) or "all were rejected"


def by_reason(counts: Counter[str], fate: str) -> dict[str, int]:
    """How many rows, hits or pairs met a fate (`rejected`, `skipped`), by reason, the commonest first."""
    found: Counter[str] = Counter()
    for name, count in counts.items():
        unit, _, rest = name.partition(".")
        if rest.startswith(f"{fate}.") and count:
            found[f"{unit}.{rest.removeprefix(f'{fate}.')}"] += count
    return dict(found.most_common())


def days_seen(counts: Counter[str]) -> dict[str, str | None]:
    """First and last day among the rows read, as the export writes them (YYYYMMDD)."""
    days = sorted(day for day in _seen(counts, "seen.date.") if day.isdigit())
    return {"first": days[0] if days else None, "last": days[-1] if days else None}


def _seen(counts: Counter[str], prefix: str) -> dict[str, int]:
    found = Counter({name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)})
    return dict(found.most_common())


def write_manifest(path: str, kind: str, content: Mapping[str, Any]) -> None:
    """Writes the manifest, which makes the output whole: call it last. Describes what files are not described yet."""
    root = path.rpartition("/")[0]
    names = {found[len(root) + 1 :] for found in publish.list_files(root)} - content["files"].keys()
    others = {name: describe(join(root, name)) for name in sorted(names)}
    publish.write_file(path, stamp(kind, {**content, "other_files": others}).encode())


def show_dataset(root: str, manifest: Mapping[str, Any]) -> None:
    """Prints the table at the end of preprocessing."""
    table = Table(title=f"dataset {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest["counts"].items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    if manifest["split"]["kind"] != "none":
        for name, count in manifest["split"].items():
            table.add_row(f"split: {name.replace('_', ' ')}", count if name == "kind" else f"{count:,}")
    for fate in ("rejected", "skipped"):
        for reason, count in manifest[fate].items():
            table.add_row(f"{fate}: {reason}", f"{count:,}")
    if manifest["median"] is not None:
        table.add_row("median", f"{manifest['median']:,.0f}")
    if manifest["days"]["first"]:
        table.add_row("days", f"{manifest['days']['first']} - {manifest['days']['last']}")
    table.add_row("seconds", f"{manifest['seconds']:.1f}")
    Console().print(table)


def show_predictions(root: str, manifest: Mapping[str, Any]) -> None:
    """Prints the table at the end of batch prediction."""
    kind = manifest["settings"]["prediction"]["kind"].replace("_", " ")
    table = Table(title=f"{kind} {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest["counts"].items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    for rule, count in manifest["rules"].items():
        table.add_row(f"answered by {rule}", f"{count:,}")
    table.add_row("files", f"{len(manifest['files']):,}")
    table.add_row("seconds", f"{manifest['seconds']:.1f}")
    asked, answered = next(iter(manifest["counts"].items()))
    table.add_row(f"{asked} a second", f"{answered / max(manifest['seconds'], 1e-3):,.0f}")
    Console().print(table)
