"""The tables that preprocessing prints when a dataset is finished."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from artifacts.manifests import Comparison, DatasetManifest, FeaturesAccount
from artifacts.names import ITEM, USER, Side
from configs import cli, tables
from configs.nouns import counted
from configs.settings.features import OF_WORDS
from pipeline.dataset.comparison import readable

_NOT_A_NUMBER = "not_a_number."  # in names of a manifest's counts of attributes
_ONE_VALUE = 2  # columns of a field: that it is missing, and one value


def show(root: str, manifest: DatasetManifest) -> None:
    """Print a dataset's counts, split, rejected and skipped rows, median, days and seconds."""
    rows: list[tuple[str, int | str]] = [(name.replace("_", " "), count) for name, count in manifest.counts]
    if manifest.split.kind != "none":
        rows += [(f"split: {name.replace('_', ' ')}", value) for name, value in manifest.split]
    if manifest.recommended_again is not None:
        rows.append(("may be recommended again", manifest.recommended_again))
    if found := manifest.recommended:
        weight = manifest.settings.source.recommended.weight
        share = f"{found.after_clicks:,} of {found.interest:,}, {found.share:.1%}, weighed {weight:g}"
        rows.append(("interest after clicks on recommendations", share))
    rows += [(f"rejected: {reason}", count) for reason, count in manifest.rejected.items()]
    rows += [(f"skipped: {reason}", count) for reason, count in manifest.skipped.items()]
    rows += [(f"CSV files: {dialect}", count) for dialect, count in manifest.csv_dialects.items()]
    rows += [(f"deletion list: {name}", count) for name, count in (manifest.deletion_list or {}).items()]
    rows += _of_tables(manifest)
    if manifest.median is not None:
        source = manifest.settings.source
        is_dwell = not source.rating_column if source.kind == "table" else all(one.dwell for one in source.all_signals)
        rows.append(("median", f"{manifest.median / 1000:,.1f} s" if is_dwell else readable(manifest.median)))
    if manifest.days.first:
        rows.append(("days", f"{manifest.days.first} - {manifest.days.last}"))
    cli.print_table(f"dataset {root}", [*rows, ("seconds", f"{manifest.seconds:.1f}")])
    for line in _remarks(manifest):
        print(line)


def _remarks(manifest: DatasetManifest) -> Iterator[str]:
    """Yield a line per thing that is probably not meant."""
    if manifest.recommended and not manifest.recommended.clicks:
        name = manifest.settings.source.recommended.list_name
        yield f"the export has no click in the list {name} (source.recommended); wals outcome --lists shows its lists"
    if manifest.catalogue and not manifest.catalogue["items"]:
        yield "no item of the dataset is in the catalogue: write its contentIds as in the export"
    if manifest.user_catalogue and not manifest.user_catalogue["visitors"]:
        yield "no visitor of the dataset is in the user_catalogue: write its visitorIds as in the export"
    for name, count in manifest.attributes.items():
        if name.startswith(_NOT_A_NUMBER):
            attribute = name.removeprefix(_NOT_A_NUMBER)
            yield f"the {attribute} of {counted(count, 'item')} is not a number and left out; write it without currency"
    for side in (ITEM, USER):
        if account := manifest.features_of(side):
            yield from _advise(account, side)


def _of_tables(manifest: DatasetManifest) -> Iterator[tuple[str, int | str]]:
    """Yield the rows of both sides' tables, then of their features."""
    for name, counts in (("catalogue", manifest.catalogue), ("user catalogue", manifest.user_catalogue)):
        yield from ((f"{name}: {count.replace('_', ' ')}", number) for count, number in (counts or {}).items())
    for side in (ITEM, USER):
        if account := manifest.features_of(side):
            yield from _of_features(account, side)


def _advise(account: FeaturesAccount, side: Side) -> Iterator[str]:
    for name, reason in account.left_out.items():
        yield f"no {_called(side)} of {name}: {reason}"
    for field in account.fields:
        if field.kind in OF_WORDS and field.size <= _ONE_VALUE and not field.missing:
            tells = "which tells nothing about new ones; leave the field out"
            yield f"all {side.plural} have the same {field.name}, {tells}"


def _called(side: Side) -> str:
    return "features" if side == ITEM else f"features of {side.plural}"


def _of_features(account: FeaturesAccount, side: Side) -> Iterator[tuple[str, int | str]]:
    """Yield the rows of a side's features: per field, what it has; then those without features."""
    name, plural = _called(side), side.plural
    for field in account.fields:
        yield f"{name}: {field.name}, {field.kind}", field.size
        if field.missing:
            yield f"{name}: {field.name} missing", field.missing
        for reason, count in field.dropped.items():
            yield f"{name}: {field.name} {reason.replace('_', ' ')}", count
    yield f"{plural} without features", account.without
    yield f"new {plural}", account.new
    if account.new:
        yield f"new {plural} without features", account.new_without
    if account.new_unfit:
        yield f"new {plural} whose id is empty or has a line end", account.new_unfit


def show_comparison(comparison: Comparison | None) -> None:
    """Print the figures of the baseline and of this dataset, if they were compared."""
    if comparison is None:
        return
    console, table = Console(), tables.table("", ["then", "now", "change"])
    tables.say(console, f"\nlike {escape(comparison.baseline)}:")
    for name in ("users", "items", "interactions", "median"):
        then, now = getattr(comparison, name)
        change = f"{now / then - 1:+.1%}" if then and now else ""
        table.add_row(name, *(readable(value) if value is not None else "" for value in (then, now)), change)
    console.print(table)
