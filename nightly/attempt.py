"""The attempt at a date that a run continues, or a new one: what went live is never written to again."""

from __future__ import annotations

from collections.abc import Callable

from artifacts.checksums import digest_of
from artifacts.manifests import AliasManifest, DatasetManifest, InputTable, LiveVersion, RunManifest
from artifacts.paths import Nights
from configs.settings import Settings
from nightly.runs import live, outputs, record
from nightly.runs.record import Record
from nightly.steps import commands, selection


def open_attempt(
    settings: Settings, nights: Nights, tables: list[InputTable], say: Callable[[str], None] = print
) -> Record:
    """Return the last attempt at the date if it may continue, else a new one.

    An attempt that went live is returned only if its inputs and settings are the same and its outputs are intact.
    """
    last = continued(settings, nights, tables, say)
    if last is None:
        return new_attempt(settings, nights, tables)
    alias = live.read(nights)
    if not _was_live(last, alias):
        identity, parent = _identity(settings, tables), last.manifest.parent or alias.live
        last.update(inputs=tables, identity=identity, settings=settings.model_dump(mode="json"), parent=parent)
    return last


def continued(
    settings: Settings, nights: Nights, tables: list[InputTable], say: Callable[[str], None] = print
) -> Record | None:
    """Return the last attempt at the date if it may continue, None if a new one begins; nothing is written."""
    last = record.newest(nights, str(settings.source.end_date))
    if last is not None and _was_live(last, live.read(nights)):
        identity = _identity(settings, tables)
        if last.manifest.identity != identity:
            say(f"{last.name} went live; its input or its settings have changed: a new attempt")
        elif problem := outputs.damage(last.night.dataset, DatasetManifest) or outputs.version_damage(
            commands.live_model(settings, last.night), last.night.predictions
        ):
            say(f"{last.name} went live, and is damaged ({problem}): a new attempt")
        else:
            return last
        return None
    return last


def _was_live(run: Record, alias: AliasManifest) -> bool:
    versions = {version.name for version in alias.versions}
    return run.status == record.PROMOTED or run.name in versions or run.name in alias.withdrawn


def new_attempt(settings: Settings, nights: Nights, tables: list[InputTable]) -> Record:
    """Create the next attempt at the date and write its manifest."""
    date = str(settings.source.end_date)
    attempt = max(record.attempts(nights, date), default=1)
    if record.load(nights, date, attempt):  # without a manifest it was killed at its start, and its number is free
        attempt += 1
    manifest = RunManifest(
        date=date,
        attempt=attempt,
        status=record.RUNNING,
        started=record.now(),
        identity=_identity(settings, tables),
        inputs=tables,
        parent=live.read(nights).live,
        settings=settings.model_dump(mode="json"),
    )
    run = Record(nights.night(date, attempt), manifest)
    run.update()
    return run


def version_of(run: Record, settings: Settings) -> LiveVersion:
    """Return the version that a run puts live."""
    model_dir = commands.live_model(settings, run.night)
    return LiveVersion(
        date=run.manifest.date,
        attempt=run.manifest.attempt,
        dataset_dir=run.night.dataset,
        model_dir=model_dir,
        predictions_dir=run.night.predictions,
        model_digest=outputs.model_digest(model_dir),
    )


def _identity(settings: Settings, tables: list[InputTable]) -> str:
    """Return a digest of everything that changes what a night puts live."""
    return digest_of([[table.model_dump() for table in tables], selection.select(settings, commands.SETTINGS)])
