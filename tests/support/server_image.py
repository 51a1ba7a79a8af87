"""Serve as the image `server` does: only packages that deploy/docker/Dockerfile installs can be imported.

python tests/support/server_image.py --config CONFIG ...
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def installed() -> set[str]:
    """Return the names of the distributions in the image: those of its stage, and their dependencies."""
    stage = (ROOT / "deploy/docker/Dockerfile").read_text().split(" AS server\n")[1]
    names = re.search(r"--constraint requirements\.lock \\\n((?:.*\\\n)*.*)\n", stage)[1]
    left, found = names.replace("\\", "").split(), set()
    while left:
        name = _plain(left.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, importlib.metadata.requires(name) or [])
            left += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def hidden() -> set[str]:
    """Return the names of installed modules that the image does not have."""
    there, owners = installed(), importlib.metadata.packages_distributions()
    lacking = {top for top, names in owners.items() if top != "google" and not there & set(map(_plain, names))}
    return lacking | {"pipeline", "trainer", "nightly", "report", "deploy", "benchmarks", "tests"}


class Only(PathFinder):
    """A finder that hides the modules that the image does not have."""

    lacking = hidden()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.lacking else PathFinder.find_spec(name, path, target)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    sys.meta_path = [Only if finder is PathFinder else finder for finder in sys.meta_path]
    from configs import cli
    from serving import server

    sys.exit(cli.run(server.main))
