"""A Dockerfile as its stages: instructions in order, what is copied, which packages are installed, what is run."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

from deploy import environment

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
_INSTALL = re.compile(r"uv pip install (.*?)(?:&&|$)")
_EXTRAS = re.compile(r"direct\((\[.*?\]),")
_WITH_VALUE = {"--constraint", "--requirement"}


@dataclass
class Stage:
    """A stage; what its base, if that is another stage of the file, has is in it too."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, keyword: str) -> list[str]:
        """Return the arguments of each instruction with that keyword."""
        return [text for name, text in self.instructions if name == keyword]

    def last(self, keyword: str) -> str | None:
        return (self.of(keyword) or [None])[-1]

    def copied(self) -> list[str]:
        """Return the sources that are copied from the project."""
        copies = [shlex.split(text) for text in self.of("COPY") if "--from=" not in text]
        return [source for *sources, _ in copies for source in sources]

    def command(self) -> list[str]:
        """Return the words of entry point and command."""
        return [*json.loads(self.last("ENTRYPOINT") or "[]"), *json.loads(self.last("CMD") or "[]")]

    def installed(self) -> set[str]:
        """Return the distributions of the stage: those that it names, and what these need in this environment."""
        found: set[str] = set()
        for text in self.of("RUN"):
            for match in _INSTALL.finditer(text):
                names = _names(match[1])
                if "--requirement" in match[1]:
                    names += _declared(json.loads(_EXTRAS.search(text)[1].replace("'", '"')))
                if "." in names:
                    names = [name for name in names if name != "."] + _declared([])
                found |= {normalized(name) for name in names} if "--no-deps" in match[1] else _closure(names)
        return found


def stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """Return the stages by name, with their arguments of `ARG` before the first `FROM` filled in."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    found: dict[str, Stage] = {}
    current = None
    for line in filter(None, map(str.strip, text.splitlines())):
        keyword, _, rest = line.partition(" ")
        if keyword == "ARG" and current is None:
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
            inherited = found[base].instructions if base in found else []
            current = found[name] = Stage(name, base, list(inherited))
        else:
            current.instructions.append((keyword, re.sub(r"\s+", " ", rest)))
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(words: str) -> list[str]:
    """Return the requirements among the words of a pip command."""
    found, rest = [], iter(shlex.split(words))
    for word in rest:
        if word in _WITH_VALUE:
            next(rest)
        elif not word.startswith("-"):
            found.append(word.replace("$TENSORFLOW", "tensorflow"))
    return found


def _declared(extras: list[str]) -> list[str]:
    """Return the names of what setup.py asks for."""
    declared = environment.read_setup(ROOT / "setup.py")
    return [
        Requirement(line).name
        for line in (
            *declared["install_requires"],
            *(one for extra in extras for one in declared["extras_require"][extra]),
        )
    ]


def _closure(names: list[str]) -> set[str]:
    """Return distributions and all that they need, as they are installed here."""
    pending, found = list(names), set()
    while pending:
        name = normalized(pending.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, importlib.metadata.requires(name) or [])
            pending += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found
