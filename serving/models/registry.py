"""Which version of the model answers: the newest whole one, changed without losing a request."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.errors import Refusal, UnusableError
from serving.models import versions
from serving.models.model import Model, free_tables

LOG = logging.getLogger("serving")


@dataclass(frozen=True)
class State:
    """Of one version, in TensorFlow Serving's words."""

    name: str  # LOADING, AVAILABLE, END
    code: str = "OK"
    message: str = ""


class Registry:
    """Looks for versions and loads them, in one thread; `current` may be read from any.

    A request keeps the model that it began with, so the one before is freed when its last request is answered.
    """

    def __init__(self, directory: str, name: str, loaded: Callable[[Model], None] = lambda model: None):
        """Args:
        loaded: is told of each model before it begins to answer.
        """
        self.directory, self.name, self._loaded = directory, name, loaded
        self.current: Model | None = None
        self._states: dict[int, State] = {}
        self._refused: dict[int, versions.Stamp] = {}
        self._complaint = ""

    def model(self, number: int | None = None) -> Model:
        """The model that answers.

        Raises:
            Refusal: there is none yet (503), or it is of another version (404).
        """
        current = self.current
        if current is None:
            raise Refusal(503, f"no version of {self.name} is loaded yet")
        if number is not None and number != current.number:
            raise Refusal(404, f"Servable not found for request: Specific({self.name}, {number})")
        return current

    def refresh(self) -> None:
        """Loads the newest whole version, unless it is the current one; where all are gone, the current one stays."""
        free_tables()
        try:
            found = versions.numbers(self.directory, self.name)
        except OSError as error:
            self._complain(str(error))
            return
        self._forget(found)
        for number, path in found.items():
            if self.current is not None and number == self.current.number:
                return
            if self._try(number, path):
                return
        where = f"{self.directory.rstrip('/')}/{self.name}"
        if self.current is None:
            self._complain(f"no version in {where} can be served; python -m serving.publish puts one there")
        else:
            self._complain(f"{where} has no version left; version {self.current.number} goes on answering")

    def _try(self, number: int, path: str) -> bool:
        stamp = versions.stamp(path)
        if self._refused.get(number) == stamp:
            return False
        self._states[number] = State("LOADING")
        LOG.info("version %d: loading", number)
        try:
            model = Model(number, path)
            self._loaded(model)
        except UnusableError as error:
            self._refuse(number, stamp, str(error))
            return False
        except Exception as error:  # whatever it is, the version that answers goes on answering
            LOG.exception("version %d", number)
            self._refuse(number, stamp, f"{type(error).__name__} while loading")
            return False
        before, self.current = self.current, model
        self._states[number] = State("AVAILABLE")
        self._refused.pop(number, None)
        self._complaint = ""
        LOG.info("version %d: answers (%.1f s to load)", number, model.seconds)
        if before is not None:
            self._states[before.number] = State("END")
            del before, model
            gc.collect()  # TensorFlow's objects refer to each other in circles
        return True

    def _refuse(self, number: int, stamp: versions.Stamp, reason: str) -> None:
        self._refused[number] = stamp
        self._states[number] = State("END", "FAILED_PRECONDITION", reason)
        LOG.error("version %d: refused: %s", number, reason)

    def _forget(self, found: dict[int, str]) -> None:
        served = self.current.number if self.current else None
        self._states = {number: state for number, state in self._states.items() if number in found or number == served}
        self._refused = {number: stamp for number, stamp in self._refused.items() if number in found}

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            LOG.warning(text)
        self._complaint = text

    @property
    def refused(self) -> int:
        return len(self._refused)

    def why_not(self) -> str:
        """Why nothing answers, in one line."""
        reasons = [f"version {number}: {state.message}" for number, state in self._states.items() if state.message]
        return "; ".join(reasons) or self._complaint or "still loading"

    def status(self, number: int | None = None) -> dict[str, Any]:
        """What TensorFlow Serving's status address gives.

        Raises:
            Refusal: no such version.
        """
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
