"""The live version: one small file, replaced by an atomic rename, that names it and the versions before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from artifacts import storage
from artifacts.manifests import AliasManifest, LiveVersion
from artifacts.paths import Nights
from artifacts.storage import locks
from configs.errors import UserError
from nightly.runs import outputs, record

_PATIENCE_SECONDS = 60.0  # to wait for another promotion or rollback, which takes a moment


def read(nights: Nights) -> AliasManifest:
    """Return the versions that went live; none before the first promotion."""
    text = storage.read_if_exists(nights.live)
    if text is None:
        return AliasManifest(changed="", live=None, versions=[], withdrawn=[])
    return AliasManifest.parse(text, nights.live)


def before(nights: Nights, date: str, number: int) -> tuple[LiveVersion, ...]:
    """Return the last versions before a date that went live and were not withdrawn, oldest first, `number` at most."""
    earlier = [version for version in read(nights).versions if version.date < date]
    return tuple(earlier[-number:] if number else ())


def promote(nights: Nights, version: LiveVersion) -> str | None:
    """Put a version live; return the reason if it may not: it was withdrawn, or a newer version is live."""
    with _changing(nights) as alias:
        if version.name in alias.withdrawn:
            return f"{version.name} was withdrawn by a rollback"
        if alias.live and alias.live.name == version.name:
            return None
        if alias.live and alias.live.date > version.date:
            return f"{alias.live.name} is live, and newer"
        alias.versions = [old for old in alias.versions if old.name != version.name]
        alias.versions.append(version.model_copy(update={"promoted": record.now()}))
    return None


def withdraw(nights: Nights, to: str | None) -> tuple[list[str], LiveVersion]:
    """Go back to the version before the live one, or to one by its name or date.

    Return the names of the withdrawn versions, and the version that is live now. A version that does not exist or is
    damaged is a UserError, and changes nothing.
    """
    with _changing(nights) as alias:
        if not alias.versions:
            raise UserError(f"nothing is live in {nights.root}")
        index = _index(alias, to)
        version = alias.versions[index]
        if problem := outputs.version_damage(version.model_dir, version.predictions_dir):
            raise UserError(f"{version.name} cannot go live: {problem}; choose another with --to")
        withdrawn = [newer.name for newer in alias.versions[index + 1 :]]
        alias.versions = alias.versions[: index + 1]
        alias.withdrawn = alias.withdrawn + withdrawn
    return withdrawn, version


def forget(nights: Nights, names: set[str]) -> None:
    """Remove versions from those that a rollback can return to; the live version always stays."""
    with _changing(nights) as alias:
        alias.versions = [old for old in alias.versions if old.name not in names or old == alias.live]
        alias.withdrawn = [name for name in alias.withdrawn if name not in names]


def _index(alias: AliasManifest, to: str | None) -> int:
    names = [version.name for version in alias.versions]
    if to is None:
        if len(names) < 2:
            raise UserError(f"{names[-1]} is live, and a version before it does not exist")
        return len(names) - 2
    matching = [index for index, name in enumerate(names) if to in (name, name.rpartition(".")[0])]
    if not matching:
        raise UserError(f"{to} is not a version to go back to; choose one of {', '.join(names)}")
    return matching[-1]


@contextlib.contextmanager
def _changing(nights: Nights) -> Iterator[AliasManifest]:
    """Yield the versions for a change, under a lock, and write the file if they were changed."""
    with locks.claim(nights.live, _PATIENCE_SECONDS):
        alias = read(nights)
        before = (alias.versions, alias.withdrawn)
        yield alias
        if (alias.versions, alias.withdrawn) != before:
            alias.live = alias.versions[-1] if alias.versions else None
            alias.changed = record.now()
            alias.write(nights.live)
