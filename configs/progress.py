"""The progress of a job: a bar with rows and the time left on a terminal; elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs import output

if TYPE_CHECKING:
    from rich.progress import Progress


class ProgressBar:
    """A progress bar that lines can be printed above; without a terminal, lines alone."""

    def __init__(self, bar: Progress, description: str, total: float | None, unit: str | None, every_s: float):
        self._bar, self._description, self._total, self._unit = bar, description, total, unit
        self._every_s = every_s
        self._started = self._printed = time.monotonic()
        self._task = bar.add_task(description, total=total, rows="")

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(
        self, completed: float, rows: str = "", *, total: float | None = None, description: str | None = None
    ) -> None:
        """Move the bar, or print a line if the last one is old; a new total or description stays.

        rows: what is done in words, where the bar has no unit.
        """
        self._total = self._total if total is None else total
        self._description = description or self._description
        if self._unit and self._total:
            rows = f"{completed:,.0f} of {self._total:,.0f} {self._unit}"
        self._bar.update(self._task, completed=completed, total=self._total, description=self._description, rows=rows)
        now = time.monotonic()
        if not self._bar.console.is_terminal and now - self._printed >= self._every_s:
            self._printed = now
            self.say(self._line(completed, rows, now - self._started))

    def _line(self, completed: float, rows: str, seconds: float) -> str:
        """Return one line of a log: what, how far, and how long it may still take."""
        parts = [rows] if rows else []
        if self._total and completed:
            left = seconds * max(self._total - completed, 0) / completed
            parts += [f"{completed / self._total:.0%}", f"about {left:,.0f} s left"]
        return f"{self._description}: {', '.join(parts) or f'{seconds:,.0f} s'}"


@contextlib.contextmanager
def progress(
    description: str,
    total: float | None = None,
    unit: str | None = None,
    *,
    stderr: bool = False,
    quiet: bool = False,
    every_s: float = 30.0,
) -> Iterator[ProgressBar]:
    """Show a progress bar on a terminal and remove it at the end; elsewhere only lines are printed.

    The bar is full at `total`; `unit` is a noun for "3 of 20 UNIT" after it; `quiet` prints nothing at all;
    `every_s` is the time between two lines of a log.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=stderr, quiet=quiet or output.quiet.get())
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),  # the rest fits 80 columns
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        yield ProgressBar(bar, description, total, unit, every_s)
