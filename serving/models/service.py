"""The state that all addresses share: the live model, the limits on time and concurrency, and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from artifacts.catalogue import Catalogue, Links, overlaid
from artifacts.storage import is_remote
from configs.errors import UserError
from configs.settings import ServingSettings
from serving.errors import Refusal, UnusableError
from serving.hosts import is_loopback
from serving.keys import Keys
from serving.metrics import Metrics
from serving.models.added import AddedFile
from serving.models.batching import Batcher
from serving.models.compared import Compared
from serving.models.deletion import DeletionList
from serving.models.model import Model
from serving.models.online import Online
from serving.models.registry import Registry
from serving.models.signatures import Arrays, Call, K
from serving.rules.limits import NO_RULES, Limits, Rules
from serving.rules.lists import Lists

if TYPE_CHECKING:
    from serving.events.live import Live

_ITEMS_POLL_S = 0.25  # an item that is added to a file on this machine is recommended this soon
LOG = logging.getLogger("serving")


class Service:
    """The state of one server; it belongs to one event loop once it has started."""

    def __init__(
        self,
        settings: ServingSettings,
        catalogue: Catalogue | None = None,
        added_items: str | None = None,
        links: Links | None = None,
    ):
        """Read the deletion list and the added items.

        catalogue, links: titles and categories, links and pictures that win over those of a version. added_items: path
        of their file.
        """
        self.settings, self.catalogue, self.links, self.metrics = settings, catalogue or {}, links or {}, Metrics()
        self.deletion_list = DeletionList(settings.deleted_visitors)
        self.lists = Lists(settings)
        self.added = AddedFile(added_items, lambda: self.deletion_list.ids, settings.accept_items)
        self.registry = Registry(settings.directory, settings.name, self._on_load)
        self.intake_keys, self.admin_keys = Keys(settings.intake_keys), Keys(settings.admin_keys)
        self.online: Online | None = None  # an experiment or exploration; set before the server runs
        self.compared = Compared(
            self.registry, lambda: self.online.models if self.online else [], is_loopback(settings.host)
        )
        self.draining = False  # told to stop, but still answering
        self.live: Live | None = None  # what visitors do between two trainings; set before the server runs
        self._at_work = 0
        self._batcher: Batcher | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for new versions while the context is open."""
        self._batcher = Batcher(self.settings.threads, self.settings.max_batch, self.metrics.batch_rows.observe)
        watching = asyncio.create_task(self._watch())
        watching_items = asyncio.create_task(self._watch_items())
        try:
            async with self.live.running() if self.live else contextlib.nullcontext():
                yield
        finally:
            for task in (watching, watching_items):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self._batcher.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self._refresh)
            await asyncio.sleep(self.settings.poll_seconds)

    async def _watch_items(self) -> None:
        poll = self.settings.poll_seconds
        while self.added.path:
            await asyncio.to_thread(self.refresh_items)
            await asyncio.sleep(poll if is_remote(self.added.path) else min(poll, _ITEMS_POLL_S))

    def refresh_items(self) -> None:
        """Pass the added items to the live version if they have changed."""
        model = self.registry.current
        for loaded in (model, self.compared.one, *(self.online.models if self.online else ())):
            self.added.refresh(loaded)
        self.metrics.added_items.set(model.added.count if model and model.added else 0)

    def _refresh(self) -> None:
        try:
            self.deletion_list.refresh()
        except UserError as error:
            LOG.error("%s; the list read before stays in use", error)
        self.metrics.stale_lists.set(self.lists.refresh())
        self.registry.refresh()
        if self.online:
            self.online.refresh()
        self.metrics.refused.set(len(self.registry.refused))

    def prepare_version(self, model: Model) -> None:
        """Add the titles, the links and the added items of the site to a version that was loaded."""
        if (self.settings.allow or self.settings.block) and not model.has_tables:
            raise UnusableError("it has no tables, which serving.allow and block need; train it again")
        model.titles, model.links = overlaid(model.titles, self.catalogue), model.links | self.links
        self.added.give(model)

    def _on_load(self, model: Model) -> None:
        self.prepare_version(model)
        if is_loopback(self.settings.host):  # callers from other machines must not learn visitorIds from the page
            model.examples = model.sample_visitors(self.settings.example_visitors)
        self.metrics.version.set(model.number)
        self.metrics.load_seconds.set(model.seconds)
        self.metrics.loads.inc()

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Count a request as in progress, and stop it after `timeout_seconds`; raise Refusal (429, 504)."""
        if self._at_work >= self.settings.max_waiting:
            raise Refusal(429, f"{self._at_work} requests are in progress; try again in a moment")
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

    async def ask(self, model: Model, call: Call, finish: Callable[[Arrays], Any] = lambda outputs: outputs) -> Any:
        """Run a signature and return `finish(outputs)`; raise Refusal if the model refuses the inputs."""
        batcher = cast(Batcher, self._batcher)  # set while the server runs

        def count_rules(outputs: Arrays) -> Any:
            for rule in outputs["rule"].tolist() if "rule" in outputs else ():
                self.metrics.rules.labels(rule.decode()).inc()
            return finish(outputs)

        async def run(inputs: Arrays) -> Arrays:
            return await batcher.ask(model, replace(call, inputs=inputs))

        if call.limits is None:
            call = replace(call, limits=self.limits())

        if self.deletion_list.ids:
            return count_rules(await self.deletion_list.answer(run, call.inputs))
        return await batcher.ask(model, call, count_rules)

    def limits(self, rules: Rules = NO_RULES) -> Limits | None:
        """Return the rules of a request with the lists of the settings; None if nothing limits its items."""
        limits = Limits(rules, *self.lists.ids)
        return limits if limits.are_of_items else None

    async def version(self, number: int) -> Model:
        """Return the version that a request names; raise Refusal if this server does not have it."""
        return await self.compared.model(number, self.prepare_version)

    async def ask_one(
        self, signature: str, k: int, rules: Rules = NO_RULES, named: Model | None = None, **ids: bytes
    ) -> tuple[dict[str, Any], Model]:
        """Run a signature for one row, cut each list of the answer to its `count`, and return the model too.

        named: the version that answers. Otherwise recommendations are those of the visitor's variant, with explored
        slots, if the server has either.
        """
        visitor = ids.get("visitorId", b"")
        if named is None and self.online and signature == "recommend" and visitor not in self.deletion_list.ids:
            return await self.online.recommend(self.ask_model, visitor, k, rules)
        model = named or self.registry.model()
        return await self.ask_model(model, signature, k, ids, rules), model

    async def ask_model(
        self, model: Model, signature: str, k: int, ids: dict[str, bytes], rules: Rules = NO_RULES
    ) -> dict[str, Any]:
        """Run a signature of a version for one row, and cut each list of the answer to its `count`."""
        inputs = {name: np.array([value], object) for name, value in ids.items()} | {K: np.array(k, np.int32)}
        outputs = await self.ask(model, Call(signature, inputs, 1, limits=self.limits(rules)))
        count = int(outputs["count"][0])
        return {name: value[0][:count] if value.ndim > 1 else value[0] for name, value in outputs.items()}
