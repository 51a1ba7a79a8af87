"""What all addresses share: the model that answers, the bounds on time and on how many at once, and the figures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import numpy as np

from artifacts.catalogue import Catalogue
from configs.errors import UserError
from configs.settings import ServingSettings
from serving.deletion import Deleted
from serving.errors import Refusal
from serving.http.addresses import is_loopback
from serving.http.codec import K
from serving.metrics import Metrics
from serving.models.batching import Batcher
from serving.models.model import Model
from serving.models.registry import Registry

LOG = logging.getLogger("serving")


class Service:
    """One server's state; belongs to one event loop once it has started."""

    def __init__(self, settings: ServingSettings, catalogue: Catalogue | None = None):
        """Raises:
        UserError: the list of deleted visitors cannot be read.
        """
        self.settings, self.catalogue, self.metrics = settings, catalogue or {}, Metrics()
        self.deleted = Deleted(settings.deleted_visitors)
        self.registry = Registry(settings.directory, settings.name, self._loaded)
        self._at_work = 0
        self._batcher: Batcher | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for versions as long as it is held."""
        self._batcher = Batcher(self.settings.threads, self.settings.max_batch, self.metrics.batch_rows.observe)
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            self._batcher.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(self.settings.poll_seconds)

    def _look(self) -> None:
        try:
            self.deleted.refresh()
        except UserError as error:
            LOG.error("%s; the list is as before", error)
        self.registry.refresh()
        self.metrics.refused.set(self.registry.refused)

    def _loaded(self, model: Model) -> None:
        if is_loopback(self.settings.host):  # who reaches the page from elsewhere need not learn of visitors
            model.examples = model.sample(self.settings.example_visitors)
        self.metrics.version.set(model.number)
        self.metrics.load_seconds.set(model.seconds)
        self.metrics.loads.inc()

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """A place among the requests at work, for as long as a request may take.

        Raises:
            Refusal: all places are taken (429), or it took too long (504).
        """
        if self._at_work >= self.settings.max_waiting:
            raise Refusal(429, f"{self._at_work} requests are at work already; come again in a moment")
        self._at_work += 1
        self.metrics.at_work.set(self._at_work)
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                yield
        except TimeoutError:
            raise Refusal(504, f"no answer within {self.settings.timeout_seconds:g} s") from None
        finally:
            self._at_work -= 1
            self.metrics.at_work.set(self._at_work)

    async def ask(
        self,
        model: Model,
        signature: str,
        inputs: dict[str, np.ndarray],
        rows: int,
        finish: Callable[[dict[str, np.ndarray]], Any] = lambda outputs: outputs,
    ) -> Any:
        """What `finish` makes of a signature's outputs.

        Raises:
            Refusal: the model refuses the inputs.
        """

        batcher = cast(Batcher, self._batcher)  # there is one while the server runs

        def counted(outputs: dict[str, np.ndarray]) -> Any:
            for rule in outputs["rule"].tolist() if "rule" in outputs else ():
                self.metrics.rules.labels(rule.decode()).inc()
            return finish(outputs)

        if self.deleted.ids:

            async def plainly(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return await batcher.ask(model, signature, inputs, rows)

            return counted(await self.deleted.answer(plainly, inputs))
        return await batcher.ask(model, signature, inputs, rows, counted)

    async def ask_one(self, signature: str, k: int, **ids: bytes) -> tuple[Model, dict[str, Any]]:
        """The answer for one row, without what stands behind `count`; and the model that gave it."""
        model = self.registry.model()
        inputs = {name: np.array([value], object) for name, value in ids.items()} | {K: np.array(k, np.int32)}
        outputs = await self.ask(model, signature, inputs, 1)
        count = int(outputs["count"][0])
        return model, {name: value[0][:count] if value.ndim > 1 else value[0] for name, value in outputs.items()}
