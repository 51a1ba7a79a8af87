"""The manifests of the nightly runs: each run's, and the alias that names the live version."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from artifacts.manifests.base import Manifest, Part


class LiveVersion(Part):
    """The outcome of one attempt at a night, and the directories of its parts."""

    model_config = ConfigDict(frozen=True)

    date: str
    attempt: int
    dataset_dir: str
    model_dir: str
    predictions_dir: str
    model_digest: str
    promoted: str = ""

    @property
    def name(self) -> str:
        """The name, for example 2024-01-07.2."""
        return f"{self.date}.{self.attempt}"

    @property
    def number(self) -> int:
        """The number of the served version: 2024010702 for 2024-01-07.2."""
        return int(self.date.replace("-", "")) * 100 + self.attempt


class AliasManifest(Manifest):
    """The versions that went live and were not withdrawn, oldest first, and the names of the withdrawn ones."""

    COMMAND: ClassVar = "wals night"

    kind: Literal["alias"] = "alias"
    schema_version: Literal[1] = 1
    changed: str
    live: LiveVersion | None
    versions: list[LiveVersion]
    withdrawn: list[str]


class InputTable(Part):
    """A file or a table of the window; `changed` differs after every write."""

    path: str
    bytes: int | None = None
    changed: str


class StepRecord(Part):
    """One step of a run: what it was made from (`identity`), its command, and how it ended."""

    identity: str | None = None
    status: str | None = None
    started: str | None = None
    command: str | None = None
    exit_status: int | None = None
    seconds: float | None = None
    message: str | None = None


class RunManifest(Manifest):
    """One attempt at a night: its inputs, its settings, its steps and its outcome."""

    COMMAND: ClassVar = "wals night"

    kind: Literal["run"] = "run"
    schema_version: Literal[1] = 1
    date: str
    attempt: int
    status: str
    started: str
    ended: str | None = None
    message: str | None = None
    identity: str
    inputs: list[InputTable]
    parent: LiveVersion | None
    settings: dict[str, Any]
    steps: dict[str, StepRecord] = Field(default_factory=dict)
    figures: dict[str, Any] = Field(default_factory=dict)
