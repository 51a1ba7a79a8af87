"""Tables of figures on a terminal of 80 columns: each row is one line, and no interval is cut or broken."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_FIXED = re.compile(r"\S+@\d+ \S+ vs \S+ \([^)]*\)|[-+\d.]+ to [-+\d.]+|\d+ %")  # what a sentence keeps on one line


def table(first: str, right: Sequence[str], left: Sequence[str] = ()) -> Table:
    """Return a table without lines: a column of names, columns of figures, and columns of text at the end.

    Only long names are continued on a second line; a heading has a line break where it contains one.
    """
    from rich.table import Table

    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    result.add_column(first, overflow="fold")
    for name in right:
        result.add_column(name, justify="right", no_wrap=True)
    for name in left:
        result.add_column(name, no_wrap=True)
    return result


def interval(low: float, high: float, form: str = "z.3f") -> str:
    """Return an interval as text, such as `0.266 to 0.486`."""
    return f"{low:{form}} to {high:{form}}"


def say(console: Console, text: str) -> None:
    """Print sentences with markup, one per line; a terminal wraps them between words, a log has each in one line."""
    for line in text.split("\n"):
        if console.is_terminal or "COLUMNS" in os.environ:
            fixed = _FIXED.sub(lambda match: match[0].replace(" ", "\0"), line)
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            # A long path stays whole, to be copied.
            line = textwrap.fill(
                fixed, console.width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
            )
        console.print(line.replace("\0", " "), highlight=False, soft_wrap=True)
