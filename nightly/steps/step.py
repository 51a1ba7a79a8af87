"""A step of a night: its command, when it applies, what repeats it, and where its output goes."""

from __future__ import annotations

import abc
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from artifacts import checksums, storage
from artifacts.checksums import digest_of
from artifacts.manifests import InputTable, LiveVersion, Manifest
from artifacts.paths import Night
from artifacts.storage import locks
from configs.settings import BIGQUERY, Settings
from nightly.runs import outputs
from nightly.steps.process import GRACE_SECONDS

# Settings that name a file whose bytes change an output.
FILES = (
    "privacy.deleted_visitors",
    "training.row_weights_file",
    "training.col_weights_file",
    "prediction.only",
    "prediction.allow",
    "prediction.block",
    "catalogue",
)
_LEASE_SECONDS = 360.0  # a lock on gs:// lapses sooner if nobody renews it


@dataclass(frozen=True)
class Plan:
    """The values that the steps of one night share."""

    settings: Settings  # resolved for the night's date
    night: Night
    config: str  # the file of settings that the commands read
    tables: list[InputTable]  # of the window
    parent: LiveVersion | None  # its model is where the training starts; None for a cold start


class Step(abc.ABC):
    """One command of a night."""

    name: str  # in the manifest and on the command line
    module: str  # the command, as `python -m MODULE`
    output: Callable[[Night], str]  # returns the directory or file that the command writes
    # The sections, or settings by dotted key, that change the output: no other setting repeats the step.
    settings: frozenset[str]
    manifest: type[Manifest] | None  # the class of the output's manifest; None if the output is a JSON file
    applies: Callable[[Settings], bool] = staticmethod(lambda settings: True)  # whether a night has this step
    skipped = ""  # the message if the step does not apply

    @abc.abstractmethod
    def flags(self, plan: Plan) -> tuple[str, ...]:
        """Return the flags of the command, except --config."""

    @abc.abstractmethod
    def inputs(self, plan: Plan) -> Any:
        """Return, as JSON, what besides the settings changes the output; raise UserError if an input is missing."""

    def identity(self, plan: Plan) -> str:
        """Return a digest of command, inputs and settings: an output with another identity is made again."""
        return digest_of([self.module, self.inputs(plan), select(plan.settings, self.settings)])

    def command(self, plan: Plan) -> tuple[str, ...]:
        """Return module and flags."""
        return (self.module, "--config", plan.config, *self.flags(plan))

    def damage(self, night: Night) -> str | None:
        """Return what is wrong with the output, None if it is intact."""
        output = self.output(night)
        if self.manifest is not None:
            return outputs.damage(output, self.manifest)
        text = storage.read_if_exists(output)
        if text is None:
            return f"{output} is missing"
        try:
            json.loads(text)
        except ValueError:
            return f"{output} is damaged"
        return None

    def wait(self, night: Night) -> None:
        """Wait until a command of a killed night has ended; raise UserError if another run writes the output."""
        output = self.output(night)
        with locks.claim(output, _LEASE_SECONDS if storage.is_remote(output) else GRACE_SECONDS):
            pass  # free; the command takes the lock itself


def select(settings: Settings, keys: Collection[str]) -> dict[str, Any]:
    """Return the values of sections and of dotted keys as JSON, and the checksums of the files that they name."""
    tree = settings.model_dump(mode="json")
    del tree["training"]["warm_start"]  # the night sets it to the live model, whatever the config has
    paths = {key: _value(tree, key) for key in FILES if key.partition(".")[0] in keys}
    # A table is among a step's inputs.
    files = {key: path for key, path in paths.items() if path and not path.startswith(BIGQUERY)}
    checksums_of_files = {key: _checksum(path) for key, path in files.items()}
    return {key: _value(tree, key) for key in keys} | {"files": checksums_of_files}


def _value(tree: dict[str, Any], dotted: str) -> Any:
    for part in dotted.split("."):
        tree = tree[part]
    return tree


def _checksum(path: str) -> str | None:
    """Return the checksum of a file, None if it cannot be read; the command then reports the error."""
    try:
        return checksums.describe(path).crc32c
    except OSError:
        return None
