"""GET addresses for the page and for simple clients: one visitor or item per request, with titles."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel

from configs.settings import ServingSettings
from serving.errors import Refusal
from serving.http import openapi
from serving.http.codec import id_to_json
from serving.models.service import Service

DEFAULT_K = 10


class Query:
    """The query string of a request, with values as bytes: ids need not be UTF-8."""

    def __init__(self, raw: bytes, limits: ServingSettings):
        self._values: dict[str, list[bytes]] = {}
        self._limits = limits
        for pair in raw.split(b"&") if raw else ():
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            key = unquote_to_bytes(name).decode("utf-8", "replace")
            self._values.setdefault(key, []).append(unquote_to_bytes(value))

    def id(self, name: str) -> bytes:
        """Return a required id.

        Raises:
            Refusal: the id is missing, repeated or too long.
        """
        value = self._single(name)
        if not value:
            raise Refusal(400, f"give {name}, e.g. ?{name}=...")
        if len(value) > self._limits.max_id_bytes:
            raise Refusal(400, f"{name} of {len(value):,} bytes is longer than {self._limits.max_id_bytes:,}")
        return value

    def k(self) -> int:
        """Return k, 10 if the query has none.

        Raises:
            Refusal: k is not a whole number within the limits.
        """
        value = self._single("k")
        if value is None:
            return min(DEFAULT_K, self._limits.max_k)
        if not value.isdigit() or len(value) > 20 or not 1 <= int(value) <= self._limits.max_k:
            raise Refusal(400, f"k must be a whole number between 1 and {self._limits.max_k}")
        return int(value)

    def _single(self, name: str) -> bytes | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Refusal(400, f"give {name} once")
        return values[0] if values else None


class Address(NamedTuple):
    """A GET address, /NAME, whose answer has a list of the same name.

    Attributes:
        signature: answers the request. ids: the ids that it takes; k is always a parameter too.
        entries: the signature's output of ids, and that of their values. fields: outputs that the answer has too.
        schema: of the answer.
    """

    name: str
    signature: str
    ids: tuple[str, ...]
    entries: tuple[str, str]
    fields: tuple[str, ...]
    schema: type[BaseModel]
    summary: str

    async def answer(self, service: Service, query: Query) -> dict[str, Any]:
        """Answer a request.

        Raises:
            Refusal: the query is not valid, or no version is loaded yet.
        """
        ids = {name: query.id(name) for name in self.ids}
        outputs, version = await service.ask_one(self.signature, query.k(), **ids)
        answer: dict[str, Any] = {name: id_to_json(value) for name, value in ids.items()}
        for name in self.fields:
            answer[name] = id_to_json(outputs[name]) if isinstance(outputs[name], bytes) else outputs[name]
        return answer | {"modelVersion": version, self.name: self._list(service, outputs)}

    def _list(self, service: Service, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return entries with rank, id and value, and with title and category if the catalogue has the item."""
        id_name, value_name = (name.removesuffix("s") for name in self.entries)
        entries = []
        for rank, (entry_id, value) in enumerate(zip(*(outputs[name] for name in self.entries), strict=True), 1):
            entry = {"rank": rank, id_name: id_to_json(entry_id), value_name: value}
            if id_name == "contentId" and (titles := service.catalogue.get(entry_id.decode("utf-8", "replace"))):
                entry["title"], entry["category"] = titles
            entries.append(entry)
        return entries


_VISITOR, _ITEM, _SCORED_ITEMS = ("visitorId",), ("contentId",), ("contentIds", "scores")
ADDRESSES = (
    Address("recommendations", "recommend", _VISITOR, _SCORED_ITEMS, ("rule",), openapi.Recommendations,
            "Recommend items for a visitor"),
    Address("history", "history", _VISITOR, ("contentIds", "ratings"), ("total",), openapi.History,
            "List the items of a visitor, highest rating first"),
    Address("audience", "audience", _ITEM, ("visitorIds", "scores"), (), openapi.Audience,
            "List visitors for an item"),
    Address("similar_items", "similar_items", _ITEM, _SCORED_ITEMS, (), openapi.SimilarItems,
            "List items similar to an item"),
    Address("explanation", "explanation", _VISITOR + _ITEM, ("contentIds", "contributions"), ("score",),
            openapi.Explanation, "Explain a score by the visitor's own items"),
)  # fmt: skip
RENAMED = {"/similar": "/similar_items", "/why": "/explanation"}  # old address -> new address


def about(service: Service) -> dict[str, Any]:
    """Return what the page shows about the model, and a few visitors to start with."""
    model = service.registry.current
    if model is None:
        return {"model": service.settings.name, "version": None, "reason": service.registry.reason(), "examples": []}
    examples = [id_to_json(visitor) for visitor in model.examples if visitor not in service.deletion_list.ids]
    return {
        "model": service.settings.name,
        "version": model.number,
        "visitors": model.count("users"),
        "items": model.count("items"),
        "examples": examples[: service.settings.example_visitors],
    }
