"""The table that batch prediction prints when its answers are written."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from artifacts.manifests import PredictionsManifest


def show(root: str, manifest: PredictionsManifest) -> None:
    """Print the counts, the rules that answered, the files and the speed of a batch prediction."""
    kind = manifest.settings.prediction.kind.replace("_", " ")
    table = Table(title=f"{kind} {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    for rule, count in manifest.rules.items():
        table.add_row(f"answered by {rule}", f"{count:,}")
    table.add_row("files", f"{len(manifest.files):,}")
    table.add_row("seconds", f"{manifest.seconds:.1f}")
    asked, answered = next(iter(manifest.counts.items()))
    table.add_row(f"{asked} per second", f"{answered / max(manifest.seconds, 1e-3):,.0f}")
    Console().print(table)
