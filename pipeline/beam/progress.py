"""The display of a job in progress: a spinner or a progress bar on a terminal, a line elsewhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console

from artifacts import storage
from configs import cli

_POLL_SECONDS = 2.0


@contextlib.contextmanager
def waiting(title: str) -> Iterator[None]:
    """Show that a long step is in progress: a spinner on a terminal, a line elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(f"{title} ..."):
            yield
    else:
        console.print(f"{title} ...", highlight=False)
        yield


@contextlib.contextmanager
def watching(title: str, root: str, prefix: str, due: int) -> Iterator[None]:
    """Show how many of the `due` files with a prefix are finished: a bar on a terminal, a line elsewhere."""
    if not Console(stderr=True).is_terminal:
        with waiting(title):
            yield
        return
    with cli.progress(title, due, "files", stderr=True) as bar:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_POLL_SECONDS):
                bar.update(count(root, prefix))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def count(root: str, prefix: str) -> int:
    """Return the number of finished files below a root whose names have this prefix."""
    names = (name.rsplit("/", 1)[-1] for name in storage.list_files(root))
    # An unfinished file has a longer name.
    return sum(name.startswith(prefix) and name.count(".") == 1 for name in names)
