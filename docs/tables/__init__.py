"""Tables of the documentation, written from the tracked JSON files in benchmarks/results.

A page marks where a table goes: `<!-- table: NAME -->` before it and `<!-- end of table -->` after it.
`python docs/generate.py` rewrites what is between the marks, and a test fails where a page differs from its JSON.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

from tables import cold_start, experiments, gowalla, millions, quality, serving, speed
from tables.cells import RESULTS, results

__all__ = ["MARKED", "RESULTS", "TABLES", "results", "rewritten"]

MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
TABLES: dict[str, Callable[[], str]] = {
    name: function
    for module in (speed, serving, millions, quality, cold_start, gowalla, experiments)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}


def rewritten(page: str) -> str:
    """Return a page with each marked table as its JSON file has it.

    Raises:
        KeyError: the page marks a table that no module here writes.
    """
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)
