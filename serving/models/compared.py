"""Versions other than the newest, to compare: those of an experiment, and one more that is loaded when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from artifacts.served.tables import Tables
from serving.errors import Refusal, UnusableError
from serving.models import versions
from serving.models.model import Model
from serving.models.registry import Registry


class Compared:
    """The versions that a request may name; it belongs to one event loop."""

    def __init__(self, registry: Registry, loaded: Callable[[], list[Model]], may_load: bool):
        """Take the versions of the server.

        loaded: returns those that are in memory anyway, next to the newest. may_load: whether a request may bring one
        more into memory, for which callers from other machines must not ask.
        """
        self._registry, self._loaded, self._may_load = registry, loaded, may_load
        self.one: Model | None = None  # the one that was loaded last, because a request named it
        self._number = 0
        self._loading: asyncio.Task[Model] | None = None

    async def numbers(self) -> list[int]:
        """Return the versions that a request may name, without the newest, in descending order."""
        found = {model.number for model in self._loaded()}
        if self._may_load:
            found |= (await asyncio.to_thread(self._paths)).keys()
        return sorted(found - {self._registry.model().number}, reverse=True)

    async def model(self, number: int, prepare: Callable[[Model], None]) -> Model:
        """Return a version; raise Refusal (404) if there is none, or this server does not bring it into memory.

        prepare: called with a version that was loaded.
        """
        for model in (self._registry.model(), *self._loaded(), self.one):
            if model is not None and model.number == number:
                return model
        if not self._may_load:
            raise Refusal(404, f"version {number} is not in memory; a server on loopback loads it")
        if self._loading is None:
            self._number, self._loading = number, asyncio.create_task(self._bring(number, prepare))
        elif self._number != number:
            raise Refusal(503, "another version is being loaded; ask again in a moment")
        return await asyncio.shield(self._loading)  # so that the next request has it, if this one's time is over

    async def _bring(self, number: int, prepare: Callable[[Model], None]) -> Model:
        self.one = None  # two of them are never in memory
        try:
            self.one = model = await asyncio.to_thread(self._load, number, prepare)
            return model
        finally:
            self._loading = None

    def _load(self, number: int, prepare: Callable[[Model], None]) -> Model:
        try:
            model = Model(number, self._paths()[number])
            prepare(model)
        except KeyError:
            raise Refusal(404, f"version {number} is not there, or has no tables") from None
        except UnusableError as error:
            raise Refusal(404, f"version {number}: {error}") from error
        return model

    def _paths(self) -> dict[int, str]:
        """Return the versions on disk that are ready at once."""
        try:
            paths = versions.paths(self._registry.directory, self._registry.name)
        except OSError:
            return {}
        return {number: path for number, path in paths.items() if Tables.are_in(path)}
