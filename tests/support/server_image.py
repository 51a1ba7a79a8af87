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
    pending, distributions = names.replace("\\", "").split(), set()
    while pending:
        name = _normalized(pending.pop())
        if name not in distributions:
            distributions.add(name)
            needed = map(Requirement, importlib.metadata.requires(name) or [])
            pending += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return distributions


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def hidden() -> set[str]:
    """Return the names of installed modules that the image does not have."""
    distributions, owners = installed(), importlib.metadata.packages_distributions()
    absent = {
        top for top, names in owners.items() if top != "google" and not distributions & {*map(_normalized, names)}
    }
    return absent | {"pipeline", "trainer", "nightly", "report", "deploy", "benchmarks", "tests"}


class ImageFinder(PathFinder):
    """A finder that hides the modules that the image does not have."""

    hidden = hidden()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.hidden else PathFinder.find_spec(name, path, target)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    sys.meta_path = [ImageFinder if finder is PathFinder else finder for finder in sys.meta_path]
    from configs import cli
    from serving import server

    sys.exit(cli.run(server.main))
