"""The comparison of a dataset with the last good one: figures that moved beyond their bounds stop a night."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from artifacts.manifests import Comparison, DatasetManifest
from artifacts.paths import Dataset
from configs.errors import GateError
from configs.settings import ValidationSettings

Figures = Mapping[str, float | None]

_COUNTS = ("users", "items", "interactions")
_OF_WINDOW = ("input", "start_date", "end_date")  # settings that change every night


def read_baseline(settings: ValidationSettings) -> DatasetManifest | None:
    """Read the manifest of the last good dataset; None where no baseline is set."""
    return DatasetManifest.read(Dataset(settings.baseline).manifest) if settings.baseline else None


def compare(manifest: DatasetManifest, settings: ValidationSettings, root: str) -> Comparison | None:
    """Compare the dataset in `root` with the baseline; return both figures, or None without a baseline.

    Raise GateError if a figure moved further than its bound.
    """
    baseline = read_baseline(settings)
    if baseline is None:
        return None
    before, after = _figures(baseline), _figures(manifest)
    moved = list(moved_figures(before, after, settings))
    if moved:
        changed = list(_changed(baseline.settings.model_dump(), manifest.settings.model_dump()))
        because = f"; settings that differ: {', '.join(changed)}" if changed else ""
        raise GateError(
            f"{root} is not like {settings.baseline}: {'; '.join(moved)}{because}. Check the export; if this is "
            "right, raise the bounds (validation.*), or run once without --baseline"
        )
    pairs: dict[str, Any] = {name: (before[name], after[name]) for name in after}
    return Comparison(baseline=str(settings.baseline), created=baseline.created, **pairs)


def moved_figures(before: Figures, after: Figures, settings: ValidationSettings) -> Iterator[str]:
    """Yield a line per figure that moved by a factor beyond its bound, in either direction."""
    for name, new in after.items():
        bound, old = getattr(settings, name), before[name]
        if bound is None or old is None or new is None or old == new:
            continue
        low, high = sorted((old, new))
        if low <= 0 or high / low - 1 > bound:
            change = f"{new / old - 1:+.0%}" if old else "from 0"
            yield f"{name} {readable(old)} -> {readable(new)} ({change}; validation.{name} {bound:g})"


def _figures(manifest: DatasetManifest) -> Figures:
    return {name: getattr(manifest.counts, name) for name in _COUNTS} | {"median": manifest.median}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for section, values in after.items():
        for key, value in values.items():
            if before[section][key] != value and key not in _OF_WINDOW:
                yield f"{section}.{key}"


def readable(value: float) -> str:
    """Return a number such as 12,345 ms of dwell, or 0.884 of counts with a half-life."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
