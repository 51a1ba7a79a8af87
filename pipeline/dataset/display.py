"""The table that preprocessing prints when a dataset is finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(root: str, manifest: Mapping[str, Any]) -> None:
    """Print a dataset's counts, split, rejected and skipped rows, median, days and seconds."""
    table = Table(title=f"dataset {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest["counts"].items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    if manifest["split"]["kind"] != "none":
        for name, count in manifest["split"].items():
            table.add_row(f"split: {name.replace('_', ' ')}", count if name == "kind" else f"{count:,}")
    for outcome in ("rejected", "skipped"):
        for reason, count in manifest[outcome].items():
            table.add_row(f"{outcome}: {reason}", f"{count:,}")
    if manifest["median"] is not None:
        table.add_row("median", f"{manifest['median']:,.0f}")
    if manifest["days"]["first"]:
        table.add_row("days", f"{manifest['days']['first']} - {manifest['days']['last']}")
    table.add_row("seconds", f"{manifest['seconds']:.1f}")
    Console().print(table)
