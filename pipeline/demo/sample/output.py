"""The directory of a sample: its files appear together, and only files that a sample wrote are ever replaced."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.errors import UserError

INVENTORY = "sample.json"
_STAGING = ".sample-partial"


class OutputDirectory:
    """A directory whose new files appear together at the end.

    `sample.json` lists the files of a sample. Only these are replaced or removed by the next one.
    """

    def __init__(self, root: str, replace: bool) -> None:
        """Create the directory; raise UserError if it is not empty and may not be replaced, or cannot be created."""
        self.root, self.names = Path(root), list[str]()
        self._staging = self.root / _STAGING
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            others = sorted(set(os.listdir(root)) - {_STAGING})
        except OSError as error:
            raise UserError(f"{root} cannot be written: {error.strerror}") from error
        if others and not replace:
            raise UserError(f"{root} is not empty (it contains {others[0]}); choose another, or add --replace")
        self._owned = self._read_inventory()

    def _read_inventory(self) -> set[str]:
        path = self.root / INVENTORY
        try:
            owned = {os.path.normpath(name) for name in json.loads(path.read_bytes())["files"]} | {INVENTORY}
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
            self._staging.mkdir()
            yield
        except OSError as error:
            raise UserError(f"{self.root} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, name: str) -> str:
        """Return the path where a file is written until it is published; it may replace files of a sample only."""
        if name not in self._owned and os.path.lexists(self.root / name):
            raise UserError(f"{self.root / name} was not made by this command; move it away")
        self.names.append(name)
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    def publish(self, description: Mapping[str, Any]) -> int:
        """Move all files to their places, remove the other files of the previous sample, and return the bytes."""
        inventory = json.dumps({**description, "files": sorted(self.names)}, indent=2)
        Path(self.add(INVENTORY)).write_text(f"{inventory}\n", encoding="utf-8")
        written = sum((self._staging / name).stat().st_size for name in self.names)
        for name in self._owned - set(self.names):
            (self.root / name).unlink(missing_ok=True)
        # The inventory first: every file that is moved after it is known to be the sample's.
        for name in reversed(self.names):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._staging / name, self.root / name)
        for folder in {os.path.dirname(name) for name in self._owned} - {""}:
            with contextlib.suppress(OSError):  # it is not empty
                (self.root / folder).rmdir()
        return written
