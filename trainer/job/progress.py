"""The text of a training: one line per sweep, a table at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from artifacts.manifests import ModelManifest, SweepRecord


def describe(sweep: SweepRecord) -> str:
    """Return one line about a sweep."""
    side = "users" if sweep.sweep % 2 else "items"
    return f"sweep {sweep.sweep} ({side}): loss {sweep.loss:.6g}, RWSE {sweep.rwse:.6g}, {sweep.seconds:.2f} s"


def summary(model_dir: str, manifest: ModelManifest) -> None:
    """Print the table at the end: loss, RWSE and seconds of each pass."""
    console = Console()
    table = Table(title=f"model in {model_dir}", title_justify="left")
    for name in ("pass", "loss", "RWSE", "seconds"):
        table.add_column(name, justify="right")
    history = manifest.history
    for number in range(1, history[-1].pass_number + 1):
        sweeps = [sweep for sweep in history if sweep.pass_number == number]
        seconds = sum(sweep.seconds for sweep in sweeps)
        table.add_row(str(number), f"{sweeps[-1].loss:.6g}", f"{sweeps[-1].rwse:.6g}", f"{seconds:.2f}")
    console.print(table)
    console.print(
        f"{manifest.users:,} users, {manifest.items:,} items, {manifest.interactions:,} interactions, "
        f"{manifest.embedding_dimension} dimensions, {manifest.seconds:.1f} s; stopped: {manifest.stopped}",
        highlight=False,
        soft_wrap=True,
    )
