"""The manifest of a run: where everything came from, what was done, and with what outcome."""

from __future__ import annotations

import datetime
from typing import Any

from artifacts import manifests, storage
from artifacts.paths import Night, Nights

KIND = "run"
RUNNING, PROMOTED, GATE_FAILED, FAILED = "running", "promoted", "gate failed", "failed"
NO_TABLE, NOT_PROMOTED = "no table", "not promoted"
ENDED = (PROMOTED, GATE_FAILED, NOT_PROMOTED)  # what running it again with the same inputs would not change


class Record:
    """A run's manifest, on disk after every change.

    Attributes:
        night: where its parts lie. content: the manifest.
    """

    def __init__(self, night: Night, content: dict[str, Any]):
        self.night, self.content = night, content

    @property
    def name(self) -> str:
        return f"{self.content['date']}.{self.content['attempt']}"

    @property
    def status(self) -> str:
        return self.content["status"]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return self.content["steps"]

    def update(self, **changes: Any) -> None:
        self.content.update(changes)
        self._write()

    def step(self, name: str, **changes: Any) -> None:
        self.steps[name] = self.steps.get(name, {}) | changes
        self._write()

    def _write(self) -> None:
        storage.write_bytes(self.night.manifest, manifests.stamp(KIND, self.content).encode())


def load(nights: Nights, date: str, attempt: int) -> Record | None:
    """A run that is there, None where its manifest is not (a run killed before it wrote one).

    Raises:
        UserError: the file is no manifest of a run.
    """
    night = nights.night(date, attempt)
    text = storage.read_if_exists(night.manifest)
    return Record(night, manifests.parse(text, KIND, night.manifest)) if text is not None else None


def attempts(nights: Nights, date: str) -> list[int]:
    """Numbers of a date's attempts, ascending."""
    return sorted(int(name) for name in storage.list_directories(f"{nights.runs}/{date}") if name.isdigit())


def newest(nights: Nights, date: str) -> Record | None:
    """The last attempt of a date."""
    for attempt in reversed(attempts(nights, date)):
        if record := load(nights, date, attempt):
            return record
    return None


def dates(nights: Nights) -> list[str]:
    """Dates that were run, ascending."""
    return [name for name in storage.list_directories(nights.runs) if _is_date(name)]


def every(nights: Nights) -> list[Record]:
    """All runs, by date and attempt."""
    found = [load(nights, date, attempt) for date in dates(nights) for attempt in attempts(nights, date)]
    return [record for record in found if record]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _is_date(name: str) -> bool:
    try:
        return str(datetime.date.fromisoformat(name)) == name
    except ValueError:
        return False
