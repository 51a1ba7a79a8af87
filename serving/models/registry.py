"""The registry of versions: it loads the newest complete version without losing a request."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from artifacts.paths import join
from serving.errors import Refusal, UnusableError
from serving.models import versions
from serving.models.model import Model, free_tables

LOG = logging.getLogger("serving")


@dataclass(frozen=True)
class State:
    """The state of one version, in TensorFlow Serving's terms."""

    name: str  # LOADING, AVAILABLE, END
    code: str = "OK"
    message: str = ""


class Registry:
    """Finds versions and loads them, in one thread; any thread may read `current`.

    A request keeps the model that it started with, so a replaced model is freed after its last request.
    """

    def __init__(self, directory: str, name: str, on_load: Callable[[Model], None] = lambda model: None):
        """Create a registry without a model; on_load: called with each model before it becomes the live version."""
        self.directory, self.name, self._on_load = directory, name, on_load
        self.current: Model | None = None
        self._states: dict[int, State] = {}
        self.refused: dict[int, versions.Stamp] = {}  # versions on disk that cannot be served
        self._warning = ""

    def model(self, number: int | None = None) -> Model:
        """Return the live version; raise Refusal if none is loaded yet (503) or it has another number (404)."""
        current = self.current
        if current is None:
            raise Refusal(503, f"no version of {self.name} is loaded yet")
        if number is not None and number != current.number:
            raise Refusal(404, f"Servable not found for request: Specific({self.name}, {number})")
        return current

    def refresh(self) -> None:
        """Load the newest complete version unless it is live; if all versions were removed, the live one stays."""
        free_tables()
        try:
            paths = versions.paths(self.directory, self.name)
        except OSError as error:
            self._warn_once(str(error))
            return
        self._forget_removed(paths)
        for number, path in paths.items():
            if self.current is not None and number == self.current.number:
                return
            if self._load(number, path):
                return
        root = join(self.directory, self.name)
        if self.current is None:
            self._warn_once(f"no version in {root} can be served; run wals publish")
        else:
            self._warn_once(f"{root} contains no version; version {self.current.number} stays live")

    def _load(self, number: int, path: str) -> bool:
        stamp = versions.stamp(path)
        if self.refused.get(number) == stamp:
            return False
        self._states[number] = State("LOADING")
        LOG.info("version %d: loading", number)
        try:
            model = Model(number, path)
            self._on_load(model)
        except UnusableError as error:
            self._refuse(number, stamp, str(error))
            return False
        except Exception as error:  # the live version must stay whatever fails here
            LOG.exception("version %d", number)
            self._refuse(number, stamp, f"{type(error).__name__} while loading")
            return False
        previous, self.current = self.current, model
        self._states[number] = State("AVAILABLE")
        self.refused.pop(number, None)
        self._warning = ""
        LOG.info("version %d: live (%.1f s to load)", number, model.seconds)
        if previous is not None:
            self._states[previous.number] = State("END")
            del previous, model
            gc.collect()  # the objects of a model refer to each other in circles
        return True

    def _refuse(self, number: int, stamp: versions.Stamp, reason: str) -> None:
        self.refused[number] = stamp
        self._states[number] = State("END", "FAILED_PRECONDITION", reason)
        LOG.error("version %d: refused: %s", number, reason)

    def _forget_removed(self, paths: dict[int, str]) -> None:
        live = self.current.number if self.current else None
        self._states = {number: state for number, state in self._states.items() if number in paths or number == live}
        self.refused = {number: stamp for number, stamp in self.refused.items() if number in paths}

    def _warn_once(self, text: str) -> None:
        if text != self._warning:
            LOG.warning(text)
        self._warning = text

    def reason(self) -> str:
        """Return the reason why no version is live, in one line."""
        reasons = [f"version {number}: {state.message}" for number, state in self._states.items() if state.message]
        return "; ".join(reasons) or self._warning or "still loading"

    def status(self, number: int | None = None) -> dict[str, Any]:
        """Return the answer of TensorFlow Serving's status address; raise Refusal if the version does not exist."""
        states = dict(sorted(self._states.items(), reverse=True))
        if number is not None:
            if number not in states:
                raise Refusal(404, f"Could not find version {number} of model {self.name}")
            states = {number: states[number]}
        elif not states:
            raise Refusal(404, f"Could not find any versions of model {self.name}")
        return {
            "model_version_status": [
                {
                    "version": str(number),
                    "state": state.name,
                    "status": {"error_code": state.code, "error_message": state.message},
                }
                for number, state in states.items()
            ]
        }
