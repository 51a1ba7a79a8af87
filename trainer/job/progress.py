"""What a training job shows: a line a sweep, a bar on a terminal, a table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trainer.als.loop import Sweep


class Display:
    """Prints what happens beside a progress bar."""

    def __init__(self, progress: Progress, max_sweeps: int):
        self._progress = progress
        self._task = progress.add_task("training", total=max_sweeps)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def sweeps_done(self, history: Sequence[Sweep]) -> None:
        self._progress.update(self._task, completed=len(history))

    def after_sweep(self, sweep: Sweep) -> None:
        side = "users" if sweep.sweep % 2 else "items"
        self.say(f"sweep {sweep.sweep} ({side}): loss {sweep.loss:.6g}, RWSE {sweep.rwse:.6g}, {sweep.seconds:.2f} s")
        self._progress.update(self._task, completed=sweep.sweep)


@contextmanager
def progress(max_sweeps: int, quiet: bool = False) -> Iterator[Display]:
    """A display for the time of the training; the bar shows on terminals only. Quiet: nothing is shown."""
    console = Console(quiet=quiet)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} sweeps")
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        yield Display(bar, max_sweeps)


def summary(model_dir: str, content: dict[str, Any]) -> None:
    """The job's closing table: loss, RWSE and seconds of each pass."""
    console = Console()
    table = Table(title=f"model in {model_dir}", title_justify="left")
    for name in ("pass", "loss", "RWSE", "seconds"):
        table.add_column(name, justify="right")
    history = [Sweep(**sweep) for sweep in content["history"]]
    for number in range(1, history[-1].pass_number + 1):
        sweeps = [sweep for sweep in history if sweep.pass_number == number]
        seconds = sum(sweep.seconds for sweep in sweeps)
        table.add_row(str(number), f"{sweeps[-1].loss:.6g}", f"{sweeps[-1].rwse:.6g}", f"{seconds:.2f}")
    console.print(table)
    console.print(
        f"{content['users']:,} users, {content['items']:,} items, {content['interactions']:,} interactions, "
        f"{content['embedding_dimension']} dimensions, {content['seconds']:.1f} s; stopped: {content['stopped']}",
        highlight=False,
        soft_wrap=True,
    )
