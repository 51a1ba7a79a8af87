"""What a job shows while it is at work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from artifacts import publish

_LOOK_SECONDS = 2.0


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows that a long step is at work: a spinner on a terminal, a line elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(f"{what} ..."):
            yield
    else:
        console.print(f"{what} ...", highlight=False)
        yield


@contextlib.contextmanager
def watching(what: str, root: str, prefix: str, due: int) -> Iterator[None]:
    """Shows how many of the files due below a root, by the beginning of their names, are there.

    A bar on a terminal, a line elsewhere.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with waiting(what):
            yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task, ended = progress.add_task(what, total=due), threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                progress.update(task, completed=count(root, prefix))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def count(root: str, prefix: str) -> int:
    """How many files below a root have names of this beginning, and are whole."""
    names = (path.rsplit("/", 1)[-1] for path in publish.list_files(root))
    return sum(name.startswith(prefix) and name.count(".") == 1 for name in names)  # at work it has a longer name
