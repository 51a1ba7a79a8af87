"""Experiments and exploration in the server: the version that answers a visitor, and slots for little known items.

The rules are those of batch prediction (`ranking.experiments`): a visitor has the same variant in both, and on a day
the same list under the same options.
"""

from __future__ import annotations

import datetime
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import ExplorationSettings, Settings
from ranking.experiments import exploration, promoted
from ranking.experiments.assignment import Experiment
from ranking.heap import Best
from serving.errors import Refusal, UnusableError
from serving.models import versions
from serving.models.model import Model
from serving.models.registry import Registry
from serving.rules.limits import NO_RULES, Limits, Rules

PROPENSITY, VARIANT = "propensity", "variant"  # outputs that an answer has too
_ITEMS, _SCORES = "contentIds", "scores"
_HISTORY = 100_000  # items of a visitor that are left out at most
LOG = logging.getLogger("serving")

Answer = dict[str, Any]
Ask = Callable[..., Awaitable[Answer]]  # see `Service.ask_model`


class Pool(NamedTuple):
    """The items that an explored slot can be given, and the place of each."""

    ids: list[bytes]
    places: dict[bytes, int]

    @classmethod
    def of(cls, ids: list[bytes]) -> Pool:
        """Return the pool of some items."""
        return cls(ids, {name: place for place, name in enumerate(ids)})


class Asked(NamedTuple):
    """A request: the version and the variant that answer, the visitor, and the rules."""

    model: Model
    variant: str | None
    visitor: bytes
    rules: Rules = NO_RULES


class Online:
    """The variants of an experiment and their versions; `refresh` runs in one thread, all else in any."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        on_load: Callable[[Model], None],
        limits: Callable[[Rules], Limits | None] = lambda rules: None,
    ):
        """Read the list of excluded visitors; raise UserError if it, or the file of promotions, cannot be read.

        limits: returns those of a request by its rules.
        """
        self._limits = limits
        self._settings, self._exploration = settings.experiment, settings.exploration
        self._registry, self._on_load = registry, on_load
        self._experiment = Experiment.of(settings.experiment)
        self._promoted = promoted.variant_of(settings.experiment)
        self._loaded: dict[int, Model] = {}
        self._missing: set[int] = set()
        self._pools: dict[tuple[int, object], Pool] = {}

    @staticmethod
    def is_asked_for(settings: Settings) -> bool:
        """Return whether the settings have an experiment or exploration."""
        return settings.experiment.name is not None or settings.exploration.share > 0

    @property
    def variants(self) -> list[str]:
        """The names of the experiment's variants; none if one was promoted."""
        return [] if self._promoted or not self._experiment else list(self._settings.variants)

    @property
    def models(self) -> list[Model]:
        """The versions that are loaded next to the newest."""
        return list(self._loaded.values())

    def refresh(self) -> None:
        """Load the versions of the variants, and look whether one was promoted."""
        try:
            self._promoted = promoted.variant_of(self._settings)
        except UserError as error:
            LOG.error("%s; the experiment goes on as before", error)
        variants = self._settings.variants
        names = [self._promoted] if self._promoted else list(variants)
        wanted = {version for name in names if (version := variants[name].version)}
        current = self._registry.current
        loaded = {number: model for number, model in self._loaded.items() if number in wanted}
        for number in wanted - loaded.keys() - ({current.number} if current else set()):
            if (model := self._load(number)) is not None:
                loaded[number] = model
        self._loaded = loaded

    def _load(self, number: int) -> Model | None:
        try:
            path = versions.paths(self._registry.directory, self._registry.name)[number]
            model = Model(number, path)
            self._on_load(model)
        except (KeyError, OSError, UnusableError) as error:
            if number not in self._missing:
                reason = f"{error}" if isinstance(error, UnusableError) else "it is not there"
                LOG.error("version %d of a variant: %s; the newest answers, and counts for no variant", number, reason)
            self._missing.add(number)
            return None
        self._missing.discard(number)
        LOG.info("version %d: live for a variant", number)
        return model

    def chosen(self, visitor: bytes, wanted: str | None = None) -> tuple[Model, str | None]:
        """Return the version that answers a visitor, and the variant: None for one who is not in an experiment.

        wanted: a variant in place of the visitor's own; raise Refusal if it does not exist, or its version does not.
        """
        newest = self._registry.model()
        if wanted is not None:
            return self._wanted(wanted, newest), wanted
        name = self._promoted
        if name is None and self._experiment:
            name = self._experiment.variant_of(visitor)
        if name is None:
            return newest, None
        number = self._settings.variants[name].version
        if number is None or number == newest.number:
            return newest, None if self._promoted else name
        model = self._loaded.get(number)
        return (newest, None) if model is None else (model, None if self._promoted else name)

    def _wanted(self, name: str, newest: Model) -> Model:
        variants = self._settings.variants
        if name not in variants:
            raise Refusal(422, "variant: the experiment has no variant of this name; see the setting experiment")
        number = variants[name].version
        model = newest if number in (None, newest.number) else self._loaded.get(number or 0)
        if model is None:
            raise Refusal(404, "the version of this variant is not loaded")
        return model

    def is_holdout(self, variant: str | None) -> bool:
        """Return whether popularity answers a variant."""
        return variant is not None and self._settings.variants[variant].is_holdout

    async def recommend(self, ask: Ask, visitor: bytes, k: int, rules: Rules = NO_RULES) -> tuple[Answer, Model]:
        """Answer a visitor by the own variant; ask: runs a signature of a version for one row."""
        model, variant = self.chosen(visitor, rules.variant)
        by = replace(rules, by_popularity=self.is_holdout(variant))
        answer = await ask(model, "recommend", k, {"visitorId": visitor}, by)
        return await self.finish(answer, ask, Asked(model, variant, visitor, rules)), model

    async def finish(self, answer: Answer, ask: Ask, asked: Asked, also: Sequence[bytes] = ()) -> Answer:
        """Return an answer by a version for a variant with explored slots, and with the variant.

        also: items that the visitor is not given, next to those of the training.
        """
        model, variant, visitor, rules = asked
        share = self._exploration.share if rules.explore else 0.0
        if share and self.is_holdout(variant):
            answer = answer | {PROPENSITY: np.ones(len(answer[_ITEMS]))}
        elif share:
            if rules.max_per_category:
                raise Refusal(422, "maxPerCategory: explored slots leave it aside; give explore=false, too")
            had = [] if rules.include_seen else [*await _history(ask, model, visitor), *also]
            answer = explored(answer, self._pool(model, rules), had, self._exploration, visitor, _today())
        return answer | ({VARIANT: variant} if self._experiment and (rules.variant or not self._promoted) else {})

    def _pool(self, model: Model, rules: Rules) -> Pool:
        """Return the pool of a version, with the items that were added to it, under the limits."""
        whole = self._whole_pool(model)
        limits = self._limits(rules)
        if limits is None:
            return whole
        ids = list(itertools.compress(whole.ids, model.may_be(whole.ids, limits).tolist()))
        return Pool.of(ids)

    def _whole_pool(self, model: Model) -> Pool:
        key = model.number, model.added_stamp
        if key not in self._pools:
            known, since = model.item_ids()
            ids = [*known[exploration.least_known(len(known), self._exploration.items) :], *since]
            others = {other: pool for other, pool in self._pools.items() if other[0] != model.number}
            self._pools = others | {key: Pool.of(ids)}
        return self._pools[key]


def explored(
    answer: Answer, pool: Pool, had: list[bytes], settings: ExplorationSettings, visitor: bytes, day: str
) -> Answer:
    """Return an answer with explored slots and the propensity of each, as batch prediction has them.

    had: the items that the visitor is not given.
    """
    listed, size = answer[_ITEMS].tolist(), len(pool.ids)
    # Items that are not in the pool have places after it, where no draw comes.
    places = [pool.places.get(name, size + rank) for rank, name in enumerate(listed)]
    best = Best(np.array([places], np.int64), np.array([answer[_SCORES]], np.float32))
    own = np.array(sorted(pool.places[name] for name in set(had) if name in pool.places), np.int32)
    left_out = SparseRows(np.arange(1), np.array([0, len(own)]), own, np.ones(len(own), np.float32))
    key = exploration.keys(settings.seed, day, [visitor])
    found = exploration.explore(best, np.arange(size), left_out, settings.share, key)
    names = [pool.ids[place] if place < size else listed[place - size] for place in found.best.indices[0].tolist()]
    items = np.empty(len(names), object)
    items[:] = names
    return answer | {_ITEMS: items, _SCORES: found.best.scores[0], PROPENSITY: found.propensity[0]}


async def _history(ask: Ask, model: Model, visitor: bytes) -> list[bytes]:
    """Return the items of a visitor in the training."""
    answer = await ask(model, "history", _HISTORY, {"visitorId": visitor})
    return answer[_ITEMS].tolist()


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
