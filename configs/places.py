"""The place of a config: named by a flag, in the directory, in the environment, or in this package."""

from __future__ import annotations

import os
from pathlib import Path

HERE, VARIABLE = "wals.yaml", "WALS_CONFIG"
_PACKAGED = Path(__file__).parent


def default() -> str:
    """Return the config of a command without --config: wals.yaml here, WALS_CONFIG, or the packaged local.yaml."""
    if os.path.isfile(HERE):
        return HERE
    return os.environ.get(VARIABLE) or packaged("local.yaml")


def packaged(name: str) -> str:
    """Return the path of a file of this package, relative to the working directory if it is below it."""
    path = str(_PACKAGED / name)
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def locate(path: str, folder: str = "") -> str:
    """Return the path of a config; local, local.yaml and configs/local.yaml are the package's if no such file exists.

    A relative path is one from `folder`, local or gs://; by default from the working directory.
    """
    joined = f"{folder}/{path}" if folder and not path.startswith(("/", "gs://")) else path
    name = path.removeprefix("configs/")
    name = name if name.endswith(".yaml") else f"{name}.yaml"
    if "/" in name or os.path.exists(joined) or not (_PACKAGED / name).is_file():
        return joined
    return packaged(name)


def names() -> list[str]:
    """Return the names of the configs that come with the package."""
    return sorted(path.stem for path in _PACKAGED.glob("*.yaml"))
