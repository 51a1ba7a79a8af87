"""The directory of a sample: its files appear together, and only files that a sample wrote are ever replaced."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from configs.errors import UserError

INVENTORY = "sample.json"
_STAGING = ".sample-partial"


class OutputDirectory:
    """A directory whose new files appear together at the end.

    `sample.json` lists the files of a sample. Only these are replaced or removed by the next one.
    """

    def __init__(self, root: str, replace: bool) -> None:
        """Create the directory.

        Raises:
            UserError: it is not empty and may not be replaced, or it cannot be created.
        """
        self.root = root
        self._staging = os.path.join(root, _STAGING)
        self.names: list[str] = []
        try:
            os.makedirs(root, exist_ok=True)
            others = sorted(set(os.listdir(root)) - {_STAGING})
        except OSError as error:
            raise UserError(f"{root} cannot be written: {error.strerror}") from error
        if others and not replace:
            raise UserError(f"{root} is not empty (it contains {others[0]}); choose another, or add --replace")
        self._owned = self._read_inventory()

    def _read_inventory(self) -> set[str]:
        path = os.path.join(self.root, INVENTORY)
        try:
            with open(path, encoding="utf-8") as file:
                owned = {os.path.normpath(name) for name in json.load(file)["files"]} | {INVENTORY}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a list of a sample's files; move it away") from error
        outside = sorted(name for name in owned if name.startswith(("..", os.sep)))
        if outside:
            raise UserError(f"{path} lists {outside[0]}, which is outside; move it away")
        return owned

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Open the directory for `add` and `publish`; an error within leaves everything as it was."""
        shutil.rmtree(self._staging, ignore_errors=True)
        try:
            os.makedirs(self._staging)
            yield
        except OSError as error:
            raise UserError(f"{self.root} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, name: str) -> str:
        """Return the path where the file `name` is written until it is published.

        Raises:
            UserError: the directory has a file of this name that no sample wrote.
        """
        path = os.path.join(self.root, name)
        if name not in self._owned and os.path.lexists(path):
            raise UserError(f"{path} was not made by this command; move it away")
        self.names.append(name)
        path = os.path.join(self._staging, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def publish(self, description: Mapping[str, Any]) -> int:
        """Move all files to their places, remove the other files of the previous sample, and return the bytes."""
        with open(self.add(INVENTORY), "w", encoding="utf-8") as file:
            json.dump({**description, "files": sorted(set(self.names) - {INVENTORY})}, file, indent=2)
            file.write("\n")
        written = sum(os.path.getsize(os.path.join(self._staging, name)) for name in self.names)
        for name in sorted(self._owned - set(self.names) - {INVENTORY}):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.root, name))
        # The inventory first: every file that is moved after it is known to be the sample's.
        for name in reversed(self.names):
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(os.path.join(self._staging, name), path)
        for folder in {os.path.dirname(name) for name in self._owned} - {""}:
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(os.path.join(self.root, folder))
        return written
