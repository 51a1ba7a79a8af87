"""Which version is live: one small file, replaced at once. Readers follow it; nothing else says what is live."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from artifacts import checksums, locks, manifests, storage
from artifacts.paths import Nights
from configs.errors import UserError

_KIND = "alias"
_PATIENCE = 60.0  # seconds to wait for another promotion or rollback, which takes a moment


@dataclass(frozen=True)
class Version:
    """One outcome of a night: attempt `attempt` of `date`, and where its parts lie."""

    date: str
    attempt: int
    dataset_dir: str
    model_dir: str
    predictions_dir: str
    model_digest: str
    promoted: str = ""

    @property
    def name(self) -> str:
        return f"{self.date}.{self.attempt}"

    @property
    def number(self) -> int:
        """For those who count versions: 2024-01-07.2 is 2024010702."""
        return int(self.date.replace("-", "")) * 100 + self.attempt


@dataclass
class Alias:
    """The versions that went live and were not withdrawn, the live one last; and the names of the withdrawn ones."""

    versions: list[Version] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)

    @property
    def live(self) -> Version | None:
        return self.versions[-1] if self.versions else None


def read(nights: Nights) -> Alias:
    """The alias as it is; empty before the first promotion.

    Raises:
        UserError: the file is no alias.
    """
    text = storage.read_if_exists(nights.live)
    if text is None:
        return Alias()
    content = manifests.parse(text, _KIND, nights.live)
    return Alias([Version(**version) for version in content["versions"]], list(content["withdrawn"]))


def promote(nights: Nights, version: Version) -> str | None:
    """Makes a version live; gives why not where it must not be: withdrawn by a person, or older than the live one."""
    with _changing(nights) as alias:
        if version.name in alias.withdrawn:
            return f"{version.name} was withdrawn by a rollback"
        live = alias.live
        if live and live.name == version.name:
            return None
        if live and live.date > version.date:
            return f"{live.name} is live, and newer"
        alias.versions = [old for old in alias.versions if old.name != version.name]
        alias.versions.append(Version(**asdict(version) | {"promoted": _now()}))
    return None


def withdraw(nights: Nights, to: str | None) -> tuple[list[str], Version]:
    """Goes back to the version before the live one, or to one by name or date.

    Returns:
        the names of the versions withdrawn, and the one that is live now.

    Raises:
        UserError: there is none to go back to, or it is not whole any more; nothing is changed then.
    """
    with _changing(nights) as alias:
        if not alias.versions:
            raise UserError(f"nothing is live in {nights.root}")
        place = _place(alias, to)
        target = alias.versions[place]
        for root, kind in ((target.model_dir, "model"), (target.predictions_dir, "predictions")):
            if problem := damage(root, kind):
                raise UserError(f"{target.name} cannot go live: {problem}; choose another with --to")
        withdrawn = [version.name for version in alias.versions[place + 1 :]]
        alias.versions = alias.versions[: place + 1]
        alias.withdrawn += withdrawn
    return withdrawn, target


def forget(nights: Nights, names: set[str]) -> None:
    """Takes versions out of the list of those to go back to; never the live one."""
    with _changing(nights) as alias:
        alias.versions = [old for old in alias.versions if old.name not in names or old == alias.live]
        alias.withdrawn = [name for name in alias.withdrawn if name not in names]


def damage(root: str, kind: str) -> str | None:
    """What is wrong with an output, None where it is whole."""
    path = f"{root}/manifest.json"
    text = storage.read_if_exists(path)
    if text is None:
        return f"{root} is no finished {kind}"
    try:
        content = manifests.parse(text, kind, path)
    except UserError as error:
        return str(error)
    problem = next(checksums.problems(root, manifests.described(content)), None)
    return f"{root}: {problem}" if problem else None


def _place(alias: Alias, to: str | None) -> int:
    names = [version.name for version in alias.versions]
    if to is None:
        if len(names) < 2:
            raise UserError(f"{names[-1]} is live, and there is no version before it")
        return len(names) - 2
    matching = [place for place, name in enumerate(names) if to in (name, name.rpartition(".")[0])]
    if not matching:
        raise UserError(f"{to} is no version to go back to; there are {', '.join(names)}")
    return matching[-1]


@contextlib.contextmanager
def _changing(nights: Nights) -> Iterator[Alias]:
    """The alias to change, and written whole where it was changed; one at a time."""
    with locks.claim(nights.live, _PATIENCE):
        alias = read(nights)
        before = _item(alias)
        yield alias
        if _item(alias) != before:
            storage.write_bytes(nights.live, manifests.stamp(_KIND, {"changed": _now()} | _item(alias)).encode())


def _item(alias: Alias) -> dict[str, Any]:
    live = asdict(alias.live) if alias.live else None
    content = {"live": live, "versions": [asdict(version) for version in alias.versions], "withdrawn": alias.withdrawn}
    return json.loads(json.dumps(content))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
