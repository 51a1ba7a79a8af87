"""The display of a job in progress: a spinner or a progress bar on a terminal, a line elsewhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console

from artifacts import storage
from configs import cli
from configs.nouns import counted
from pipeline.beam.counters import TALLY

_POLL_SECONDS = 1.0


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
def preprocessing(title: str, files: int) -> Iterator[None]:
    """Show how far a job in this process is, in rows and in time; of a job elsewhere, how long it runs."""
    TALLY.clear()
    with cli.progress(title, 1.0, stderr=True) as bar, _repeatedly(lambda: _show(bar, files)):
        if not Console(stderr=True).is_terminal:
            bar.say(f"{title} ...")
        yield


def _show(bar: cli.ProgressBar, files: int) -> None:
    share, rows, step = so_far(TALLY, files)
    bar.update(share, rows, description=step)


def so_far(tally: Mapping[str, int], files: int) -> tuple[float, str, str]:
    """Return the share of a preprocessing that is done, roughly, the rows of its step, and what the step does.

    tally: rows by step (`pipeline.beam.counters.TALLY`). Half of the time is reading, a tenth is combining.
    """
    pairs = max(tally.get("combine", 0), 1)
    if grouped := tally.get("group", 0):
        return 0.8 + 0.1 * min(grouped / pairs, 2), counted(pairs, "pair"), "writing"
    if encoded := tally.get("encode", 0):
        return 0.6 + 0.2 * min(encoded / pairs, 1), f"{encoded:,} of {counted(pairs, 'pair')}", "encoding"
    rows, read = counted(tally.get("read", 0), "row"), tally.get("files", 0)
    if combined := tally.get("combine", 0):
        return 0.5 + 0.1 * combined / max(tally["read"], combined), rows, "combining"
    if not tally.get("read", 0):
        return 0.0, counted(files, "file"), "starting"
    return 0.5 * read / max(files, read, 1), f"{read:,} of {counted(files, 'file')}, {rows}", "reading"


@contextlib.contextmanager
def watching(title: str, root: str, prefix: str, due: int) -> Iterator[None]:
    """Show how many of the `due` files with a prefix are finished: a bar on a terminal, a line elsewhere."""
    if not Console(stderr=True).is_terminal:
        with waiting(title):
            yield
        return
    with (
        cli.progress(title, due, "files", stderr=True) as bar,
        _repeatedly(lambda: bar.update(count(root, prefix))),
    ):
        yield


@contextlib.contextmanager
def _repeatedly(update: Callable[[], None]) -> Iterator[None]:
    """Call a function now and then, in a thread of its own, until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_SECONDS):
            update()

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
