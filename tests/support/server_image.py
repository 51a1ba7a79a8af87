"""Serve as the image `server` does: only packages that deploy/docker/Dockerfile installs can be imported.

python tests/support/server_image.py --config CONFIG ...
"""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.machinery import PathFinder
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT)

from tests.support import dockerfile  # noqa: E402 - found there


def hidden() -> set[str]:
    """Return the names of installed modules that the image does not have."""
    distributions = dockerfile.stages()["server"].installed()
    owners = importlib.metadata.packages_distributions()
    absent = {
        top
        for top, names in owners.items()
        if top != "google" and not distributions & {*map(dockerfile.normalized, names)}
    }
    return absent | {"trainer", "nightly", "report", "deploy", "benchmarks", "tests"}


class ImageFinder(PathFinder):
    """A finder that hides the modules that the image does not have."""

    hidden = hidden()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.hidden else PathFinder.find_spec(name, path, target)


if __name__ == "__main__":
    sys.meta_path = [ImageFinder if finder is PathFinder else finder for finder in sys.meta_path]
    from configs import cli
    from serving import server

    sys.exit(cli.run(server.main))
