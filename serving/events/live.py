"""Events between two trainings: requests -> views in the store -> recommendations that count them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import orjson

from artifacts import privacy
from artifacts.manifests import MANIFEST, ServedVersionManifest, TrainedOn
from artifacts.names import DAY_MS
from artifacts.paths import join
from configs.errors import UserError
from configs.settings import EventSettings, Settings
from serving.errors import Refusal
from serving.events.embedded import EmbeddedStore
from serving.events.intake import Intake
from serving.events.measurement import Reader
from serving.events.rules import Entry, can_rate
from serving.events.rules import Rules as EventRules
from serving.events.stores import Store, StoreDownError, View
from serving.models.model import Model
from serving.models.online import Asked
from serving.models.service import Service
from serving.models.signatures import FROM_PAIRS, HISTORY_OF_PAIRS, Arrays, Call, K
from serving.rules.limits import NO_RULES, Rules

LOG = logging.getLogger("serving")
RULE = b"live"
_KEPT = "yes"
_HASH = re.compile(rb"[0-9a-f]{64}")
_REST_S = 1.0  # without questions to a store that did not answer, so that requests do not queue up behind it
_TIDY_S, _PURGE_S = 60.0, 3600.0


class Taken(NamedTuple):
    """The account of a request: its events, the views that were kept, and what was not, by reason."""

    events: int
    kept: int
    left_out: Counter[str]


class Live:
    """Intake of events, and recommendations that count them; it belongs to one event loop once it runs."""

    def __init__(self, settings: Settings, service: Service):
        """Take the settings; raise UserError if the rules, the key or the store cannot be used."""
        self.settings, self._service, self._key = settings.events, service, privacy.read_key(settings.privacy)
        self._rules = EventRules(settings)
        self.by_user_id = self._rules.source.prefer_user_id
        self._reader = Reader(settings.events, settings.serving, self._rules.schema, self.by_user_id)
        self._intake = Intake(self._rules)
        self._store: Store | None = None
        self._down_until = 0.0
        self._datasets: WeakKeyDictionary[Model, TrainedOn | None] = WeakKeyDictionary()  # of the versions in use
        self._removed: frozenset[bytes] = frozenset()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Use the store while the context is open."""
        self._store = opened_store(self.settings)
        await asyncio.to_thread(self._warm_up)
        tidying = asyncio.create_task(self._tidy())
        try:
            async with self._intake.running():
                yield
        finally:
            tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tidying
            await self._store.close()

    def _warm_up(self) -> None:
        """Apply the rules once: the first time, they load compiled code, for which no request should wait."""
        names = sorted(self._rules.source.events or ["page_view"])[: self.settings.max_events]
        events = [{"name": name, "items": [{"item_id": "-"}]} for name in names]
        body = orjson.dumps({"client_id": "-", "events": events})
        self._rules.views(self._reader.read(body, time.time_ns() // 1000).records)

    async def take(self, body: bytes) -> Taken:
        """Keep the views of a request; raise Refusal if it is not valid (400) or the store does not answer (503).

        When it returns, the views outlast the end of the server.
        """
        received = self._reader.read(body, time.time_ns() // 1000)
        counted = await self._intake.views(received.records)
        left_out, kept, views = received.left_out + counted.left_out, 0, self._sized(counted.views)
        left_out["content_id_too_long"] += len(counted.views) - len(views)
        if counted.visitor is not None and views:
            visitor = self.known_as(counted.visitor)
            if self._is_deleted(visitor, counted.visitor):
                left_out["deleted_visitor"] += len(views)
            else:
                kept = await self._add(visitor, views)
                left_out["sent_before"] += len(views) - kept
        for reason, count in (+left_out | Counter({_KEPT: kept})).items():
            self._service.metrics.events.labels(reason).inc(count)
        return Taken(received.events, kept, +left_out)

    def known_as(self, visitor: bytes) -> bytes:
        """Return the model's id of a visitor: the hash, where the settings have the key and it is not one already."""
        return privacy.hashed(self._key, visitor) if self._key and not _HASH.fullmatch(visitor) else visitor

    async def recommend(
        self, visitor: bytes, k: int, rules: Rules = NO_RULES, named: Model | None = None
    ) -> tuple[dict[str, Any], Model]:
        """Return items for a visitor by training and by what came since, and the model.

        The output `liveItems` is the number of items whose views since the training count, None if the store does not
        answer: then the recommendations are those of the training. named: the version that answers, in place of the
        visitor's variant.
        """
        views = await self._views(visitor)
        online, newest = None if named else self._service.online, named or self._service.registry.model()
        model, variant = online.chosen(visitor, rules.variant) if online else (newest, None)
        dataset, by = self._dataset_of(model), Asked(model, variant, visitor, rules)
        if views and dataset and not (online and online.is_holdout(variant)):
            outputs = await self._folded(by, dataset, views, k)
            if outputs and online:
                also, ask = [view.item for view in views], self._service.ask_model
                outputs = await online.finish(outputs, ask, by, also)
            if outputs:
                return outputs, model
        outputs, model = await self._service.ask_one("recommend", k, rules, named, visitorId=visitor)
        return outputs | {"liveItems": None if views is None else 0}, model

    async def views(self, visitor: bytes) -> list[View]:
        """Return the views of a visitor, the newest first; raise StoreDownError."""
        if self._is_deleted(visitor):
            return []
        return await self._asked(lambda store: store.of(visitor, self._oldest_ms()))

    async def _views(self, visitor: bytes) -> list[View] | None:
        with contextlib.suppress(StoreDownError):
            return await self.views(visitor)
        return None

    async def _folded(self, asked: Asked, dataset: TrainedOn, views: list[View], k: int) -> dict[str, Any] | None:
        """Return the answer for the whole history; None if the views change nothing that the model knows."""
        model, _, visitor, rules = asked
        history = self._rules.history(views, await self._trained(model, visitor), dataset)
        if not history.changed and not history.added:
            return None
        ids, ratings = np.array([history.items], object), history.ratings[None]
        inputs = {"contentIds": ids.reshape(1, -1), "ratings": ratings, K: np.array(k, np.int32)}
        signature = "recommend_from_history"
        if model.has_tables:
            signature, inputs = FROM_PAIRS, inputs | {"weights": history.weights[None], "again": history.again[None]}
        outputs = await self._service.ask(model, Call(signature, inputs, 1, limits=self._service.limits(rules)))
        new = int(outputs["known"][0]) - (len(history.items) - history.added)
        if not history.changed and not new:  # the new items are unknown until the next training
            return None
        count = int(outputs["count"][0])
        answer = {name: value[0][:count] if value.ndim > 1 else value[0] for name, value in outputs.items()}
        rule = RULE if answer["rule"] == b"projection" else answer["rule"]
        return answer | {"rule": rule, "liveItems": history.changed + new}

    async def _trained(self, model: Model, visitor: bytes) -> dict[bytes, Entry]:
        """Return the items of a visitor in the training; without tables, the weights are 1 and no item is again."""
        if model.has_tables:
            outputs = await self._history(model, HISTORY_OF_PAIRS, visitor, 1)
        else:
            outputs = await self._history(model, "history", visitor, most := self._service.settings.max_history)
            if (total := int(outputs["total"][0])) > most:
                outputs = await self._history(model, "history", visitor, total)
        count, ratings = int(outputs["count"][0]), outputs["ratings"]
        columns = {"weights": np.ones_like(ratings), "again": np.zeros(ratings.shape, bool)} | outputs
        names = ("contentIds", "ratings", "weights", "again")
        rows = zip(*(columns[name][0][:count].tolist() for name in names), strict=True)
        return {item: Entry(*entry) for item, *entry in rows}

    async def _history(self, model: Model, signature: str, visitor: bytes, most: int) -> Arrays:
        inputs = {"visitorId": np.array([visitor], object), K: np.array(most, np.int32)}
        return await self._service.ask(model, Call(signature, inputs, 1))

    def _dataset_of(self, model: Model) -> TrainedOn | None:
        """Return what the manifest of a version has about its dataset; None if that does not suffice for ratings."""
        if model not in self._datasets:
            try:
                dataset: TrainedOn | None = ServedVersionManifest.read(join(model.path, MANIFEST)).dataset
            except UserError:
                dataset = None
            if dataset is None or not can_rate(dataset):
                dataset = None
                LOG.warning("version %d has no rating of its dataset; train again to recommend by events", model.number)
            self._datasets[model] = dataset
        return self._datasets[model]

    async def _add(self, visitor: bytes, views: list[View]) -> int:
        try:
            return await self._asked(lambda store: store.add(visitor, views, self._oldest_ms()))
        except StoreDownError:
            raise Refusal(503, "the store of events does not answer; send the events again") from None

    async def _asked(self, ask: Callable[[Store], Awaitable[Any]]) -> Any:
        """Return the store's answer; raise StoreDownError, at once where it did not answer a moment ago."""
        if self._store is None or time.monotonic() < self._down_until:
            raise StoreDownError("it did not answer a moment ago")
        try:
            answer = await ask(self._store)
        except StoreDownError as error:
            if not self._down_until:
                LOG.error("the store of events does not answer (%s); recommendations do without", error)
            self._down_until = time.monotonic() + _REST_S
            self._service.metrics.store_up.set(0)
            raise
        if self._down_until:
            LOG.warning("the store of events answers again")
        self._down_until = 0.0
        self._service.metrics.store_up.set(1)
        return answer

    async def _tidy(self) -> None:
        """Remove old views, and those of visitors on the deletion list."""
        purged = -_PURGE_S
        while True:
            deleted = frozenset(self._service.deletion_list.ids)
            new = {self.known_as(visitor) for visitor in deleted - self._removed}
            if new or time.monotonic() - purged > _PURGE_S:
                with contextlib.suppress(StoreDownError):
                    await self._remove(new)
                    self._removed, purged = deleted, time.monotonic()
            await asyncio.sleep(_TIDY_S)

    async def _remove(self, visitors: set[bytes]) -> None:
        await self._asked(lambda store: store.remove(visitors, self._oldest_ms()))

    def _is_deleted(self, *names: bytes) -> bool:
        return not self._service.deletion_list.ids.isdisjoint(names)

    def _oldest_ms(self) -> int:
        return round(time.time() * 1000 - self.settings.keep_days * DAY_MS)

    def _sized(self, views: list[View]) -> list[View]:
        most = self._service.settings.max_id_bytes
        return [view for view in views if len(view.item) <= most]


def opened_store(settings: EventSettings) -> Store:
    """Return the store that the settings name; raise UserError if it cannot be used."""
    if settings.is_shared:
        from serving.events.shared import SharedStore  # with Redis's client

        return SharedStore(settings)
    return EmbeddedStore(settings)
