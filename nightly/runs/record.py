"""The record of a run: its inputs, settings, steps and outcome, in the manifest of its directory."""

from __future__ import annotations

import datetime
import re
from typing import Any

from artifacts import storage
from artifacts.manifests import RunManifest, StepRecord
from artifacts.paths import Night, Nights

RUNNING, PROMOTED, GATE_FAILED, FAILED = "running", "promoted", "gate failed", "failed"
NO_TABLE, NOT_PROMOTED = "no table", "not promoted"
ENDED = (PROMOTED, GATE_FAILED, NOT_PROMOTED)  # a rerun with the same inputs ends the same way
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Record:
    """A run: the paths of its outputs, and its manifest, which is written after every change."""

    def __init__(self, night: Night, manifest: RunManifest):
        self.night, self.manifest = night, manifest

    @property
    def name(self) -> str:
        """The name for users: 2024-01-07.2 is the second attempt at that date."""
        return f"{self.manifest.date}.{self.manifest.attempt}"

    @property
    def status(self) -> str:
        return self.manifest.status

    def update(self, **changes: Any) -> None:
        """Change fields of the manifest and write it."""
        for field, value in changes.items():
            setattr(self.manifest, field, value)
        self.manifest.write(self.night.manifest)

    def end(self, status: str, message: str | None = None) -> None:
        """Write the outcome of the run."""
        self.update(status=status, ended=now(), message=message)

    def step(self, name: str) -> StepRecord:
        """Return the record of a step, empty if the step has not run."""
        return self.manifest.steps.get(name) or StepRecord()

    def update_step(self, name: str, **changes: Any) -> None:
        """Change fields of a step's record and write the manifest."""
        self.manifest.steps[name] = self.step(name).model_copy(update=changes)
        self.update()


def load(nights: Nights, date: str, attempt: int) -> Record | None:
    """Return a run, None if it was killed before it wrote a manifest."""
    night = nights.night(date, attempt)
    text = storage.read_if_exists(night.manifest)
    return None if text is None else Record(night, RunManifest.parse(text, night.manifest))


def attempts(nights: Nights, date: str) -> list[int]:
    """Return the numbers of a date's attempts, ascending."""
    return sorted(int(name) for name in storage.list_directories(f"{nights.runs}/{date}") if name.isdigit())


def newest(nights: Nights, date: str) -> Record | None:
    """Return the last attempt at a date, None before the first."""
    return next(filter(None, (load(nights, date, attempt) for attempt in reversed(attempts(nights, date)))), None)


def dates(nights: Nights) -> list[str]:
    """Return the dates with runs, ascending."""
    return [name for name in storage.list_directories(nights.runs) if _DATE.fullmatch(name)]


def load_all(nights: Nights) -> list[Record]:
    """Return all runs, by date and attempt."""
    runs = (load(nights, date, attempt) for date in dates(nights) for attempt in attempts(nights, date))
    return [run for run in runs if run]


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
