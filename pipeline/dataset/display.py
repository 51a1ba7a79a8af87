"""The tables that preprocessing prints when a dataset is finished."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from artifacts.manifests import Comparison, DatasetManifest


def show(root: str, manifest: DatasetManifest) -> None:
    """Print a dataset's counts, split, rejected and skipped rows, median, days and seconds."""
    table = Table(title=f"dataset {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest.counts:
        table.add_row(name.replace("_", " "), f"{count:,}")
    if manifest.split.kind != "none":
        for name, value in manifest.split:
            table.add_row(f"split: {name.replace('_', ' ')}", value if name == "kind" else f"{value:,}")
    for outcome, reasons in (("rejected", manifest.rejected), ("skipped", manifest.skipped)):
        for reason, count in reasons.items():
            table.add_row(f"{outcome}: {reason}", f"{count:,}")
    if manifest.median is not None:
        table.add_row("median", f"{manifest.median:,.0f}")
    if manifest.days.first:
        table.add_row("days", f"{manifest.days.first} - {manifest.days.last}")
    table.add_row("seconds", f"{manifest.seconds:.1f}")
    Console().print(table)


def show_comparison(comparison: Comparison | None) -> None:
    """Print the figures of the baseline and of this dataset, if they were compared."""
    if comparison is None:
        return
    table = Table("", "then", "now", "change", title=f"like {comparison.baseline}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in ("users", "items", "interactions", "median"):
        then, now = getattr(comparison, name)
        change = f"{now / then - 1:+.1%}" if then and now else ""
        table.add_row(name, *(f"{value:,.0f}" if value is not None else "" for value in (then, now)), change)
    Console().print(table)
