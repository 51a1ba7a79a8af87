"""GET addresses for the page and for simple clients: one visitor or item per request, with titles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs

from pydantic import BaseModel, Field, create_model

from configs.settings import ServingSettings
from serving.errors import Refusal
from serving.http import openapi
from serving.models.model import Model
from serving.models.online import PROPENSITY, VARIANT
from serving.models.service import Service
from serving.models.signatures import K
from serving.rules import parameters
from serving.rules.limits import LEFT_OUT, LIMITED, NO_RULES, Limits, Rules

DEFAULT_K = 10
LIVE_ITEMS, VERSION, _RECOMMEND, _RULES = "liveItems", "version", "recommend", "rules"
KnownOf = Callable[[str], dict[str, str]]


class Query:
    """The query string of a request, with values as bytes: ids need not be UTF-8."""

    def __init__(self, raw: bytes, limits: ServingSettings):
        # As Latin-1, a character is a byte.
        self._values = parse_qs(raw.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        self._limits = limits

    def id(self, name: str) -> bytes:
        """Return a required id; raise Refusal if it is missing, repeated or too long."""
        value = self._single(name)
        if not value:
            raise Refusal(400, f"give {name}, e.g. ?{name}=...")
        if len(value) > self._limits.max_id_bytes:
            raise Refusal(400, f"{name} of {len(value):,} bytes is longer than {self._limits.max_id_bytes:,}")
        return value

    def k(self) -> int:
        """Return k, 10 if the query has none; raise Refusal if it is not a whole number within the limits."""
        k = self._whole(K, self._limits.max_k)
        return min(DEFAULT_K, self._limits.max_k) if k is None else k

    def version(self) -> int | None:
        """Return the version that is to answer, None if the query names none; raise Refusal if it is not a number."""
        return self._whole(VERSION, openapi.MOST_VERSION)

    def _whole(self, name: str, most: int) -> int | None:
        value = self._single(name)
        if value is not None and (not value.isdigit() or len(value) > 20 or not 1 <= int(value) <= most):
            raise Refusal(400, f"{name} must be a whole number between 1 and {most}")
        return None if value is None else int(value)

    def rules(self, for_visitors: bool) -> Rules:
        """Return the rules of the list; raise Refusal (422) if one is not within its bounds."""
        return parameters.parse(self._values, for_visitors)

    def _single(self, name: str) -> bytes | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Refusal(400, f"give {name} once")
        return values[0].encode("latin-1") if values else None


class Address(NamedTuple):
    """A GET address, /NAME, whose answer has a list of the same name."""

    name: str
    signature: str  # answers the request
    ids: tuple[str, ...]  # those that it takes; k is always a parameter too
    entries: tuple[str, str]  # the id in an entry of the list, and its value; outputs are named by their plurals
    fields: Mapping[str, Any]  # the outputs that the answer has too, with their types
    summary: str

    def schema(self) -> type[BaseModel]:
        """Return the model that describes the answer."""
        name, (id_name, value_name) = self.name.title().replace("_", ""), self.entries
        base = openapi.Item if id_name == "contentId" else openapi.Visitor
        value: dict[str, Any] = {value_name: (float, ...)}
        if self.signature == _RECOMMEND:
            value[PROPENSITY] = _PROPENSITY, None
        entry = create_model(f"{name}Entry", __base__=base, **value)
        types = dict.fromkeys(self.ids, openapi.Id) | {"modelVersion": int, **self.fields, self.name: list[entry]}
        fields: dict[str, Any] = {field: (kind, ...) for field, kind in types.items()}
        if self.signature == _RECOMMEND:
            fields[LIVE_ITEMS] = _LIVE_ITEMS, None
            fields[VARIANT] = _VARIANT, None
        if self.is_limited:
            fields |= {_RULES: (_STATED, None), LEFT_OUT: (_LEFT_OUT, None)}
        return create_model(name, **fields)

    async def answer(self, service: Service, query: Query) -> dict[str, Any]:
        """Answer a request; raise Refusal if the query is not valid, or no version is loaded yet."""
        ids = {name: query.id(name) for name in self.ids}
        asked = query.rules(self.signature == _RECOMMEND) if self.is_limited else NO_RULES
        if asked.variant and not service.online:
            raise Refusal(422, "variant: the server has no experiment")
        version = query.version() if VERSION in self.also else None
        named = None if version is None else await service.version(version)
        outputs, model = await self._ask(service, query.k(), ids, asked, named)
        fields = {name: outputs[name] for name in (*self.fields, LIVE_ITEMS, VARIANT, LEFT_OUT) if name in outputs}
        if self.is_limited and (stated := parameters.stated(Limits(asked, *service.lists.ids))):
            fields[_RULES] = stated
        return {**ids, **fields, "modelVersion": model.number, self.name: self._list(model.known_of, outputs)}

    @property
    def also(self) -> tuple[str, ...]:
        """The names of the parameters that the address takes next to its ids and the rules."""
        return (K, VERSION) if self.signature == _RECOMMEND else (K,)

    @property
    def is_limited(self) -> bool:
        """True if the answer is a list of items that the rules of a request limit."""
        return self.signature.startswith(LIMITED)

    async def _ask(
        self, service: Service, k: int, ids: dict[str, bytes], asked: Rules, named: Model | None
    ) -> tuple[dict[str, Any], Model]:
        """Run the signature; where the server takes events, recommend by them too. named: the version that answers."""
        if (live := service.live) and "visitorId" in ids:
            ids = ids | {"visitorId": live.known_as(ids["visitorId"])}
            if self.signature == _RECOMMEND:
                return await live.recommend(ids["visitorId"], k, asked, named)
        return await service.ask_one(self.signature, k, asked, named, **ids)

    def _list(self, known_of: KnownOf, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return entries with rank, id and value, and with what is known of an item."""
        id_name, value_name = self.entries
        entries, ids_and_values = [], (outputs[f"{name}s"] for name in self.entries)
        for rank, (entry_id, value) in enumerate(zip(*ids_and_values, strict=True), 1):
            entry = {"rank": rank, id_name: entry_id, value_name: value}
            if PROPENSITY in outputs:
                entry[PROPENSITY] = outputs[PROPENSITY][rank - 1]
            if id_name == "contentId":
                entry |= known_of(entry_id.decode("utf-8", "replace"))
            entries.append(entry)
        return entries


_VISITOR, _ITEM, _SCORED = ("visitorId",), ("contentId",), ("contentId", "score")
_RULE = Annotated[
    str,
    Field(
        description="factors, projection, live or popularity; ', newest' after it: so are the last places of the list."
    ),
]
_TOTAL = Annotated[int, Field(description="Number of all items of the visitor, not only of those listed.")]
_LIVE = "Number of items whose views since the training count; null if the store of events does not answer."
_LIVE_ITEMS = Annotated[int | None, Field(description=_LIVE)]
_VARIANT = Annotated[str | None, Field(description="Variant of the experiment, if one runs and has the visitor.")]
_PROPENSITY = Annotated[float | None, Field(description="Probability of the item in its slot, if slots are explored.")]
_STATED = Annotated[dict[str, Any] | None, Field(description="The rules in effect; of exclude, the number of ids.")]
_LEFT_OUT = Annotated[
    dict[str, int] | None, Field(description="Number of items that each rule left out; an item counts for the first.")
]
_SUM = Annotated[float, Field(description="Sum of all contributions.")]
ADDRESSES = (
    Address("recommendations", _RECOMMEND, _VISITOR, _SCORED, {"rule": _RULE}, "Recommend items for a visitor"),
    Address("history", "history", _VISITOR, ("contentId", "rating"), {"total": _TOTAL},
            "List the items of a visitor, highest rating first"),
    Address("audience", "audience", _ITEM, ("visitorId", "score"), {}, "List visitors for an item"),
    Address("similar_items", "similar_items", _ITEM, _SCORED, {}, "List items similar to an item"),
    Address("explanation", "explanation", _VISITOR + _ITEM, ("contentId", "contribution"), {"score": _SUM},
            "Explain a score by the visitor's own items"),
)  # fmt: skip
RENAMED = {"/similar": "/similar_items", "/why": "/explanation"}  # old address -> new address
