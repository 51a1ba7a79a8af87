"""The cells of a Markdown table, and the JSON files that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def results(name: str) -> dict[str, Any]:
    """Read one file of benchmarks/results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; null is an empty cell."""
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def number(value: float | None, digits: int = 2) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def count(value: float | None) -> int | None:
    return None if value is None else round(value)


def short(value: float) -> str:
    return f"{value:.3g}"


def interval(values: list[float] | None, digits: int = 4) -> str | None:
    if values is None:
        return None
    value, low, high = values
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def signed(values: list[float]) -> str:
    value, low, high = values
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
