"""What follows the alias beside it: the server's directory, a BigQuery view, a Vertex AI alias."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import yaml

from configs.errors import UserError
from configs.settings import Settings
from nightly.alias import Version
from nightly.steps import Execute


def follow(settings: Settings, version: Version, execute: Execute, say: Callable[[str], None]) -> None:
    """Brings every target that the settings name to the live version; doing it again changes nothing.

    Raises:
        UserError: one of them could not follow; the version is live all the same.
    """
    if settings.nightly.serve:
        _serve(settings, version, execute, say)


def _serve(settings: Settings, version: Version, execute: Execute, say: Callable[[str], None]) -> None:
    """A copy as the server's newest version; after a rollback that is a copy of the older model."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as config:
        yaml.safe_dump(settings.model_dump(mode="json"), config)
        config.flush()
        command = ("serving.publish", "--config", config.name, "--model_dir", version.model_dir)
        status = execute(command, lambda text: say(f"  {text}"), 60 * settings.nightly.step_timeout_minutes)
    if status:
        raise UserError(f"{version.name} is live, but serving.publish failed ({status}); run the same command again")
