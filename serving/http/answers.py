"""GET addresses for the page and for simple clients: one visitor or item per request, with titles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
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


async def recommendations(service: Service, query: Query) -> dict[str, Any]:
    visitor = query.id("visitorId")
    outputs, version = await service.ask_one("recommend", query.k(), visitorId=visitor)
    return {
        "visitorId": id_to_json(visitor),
        "rule": id_to_json(outputs["rule"]),
        "modelVersion": version,
        "recommendations": _items(service, outputs["contentIds"], outputs["scores"], "score"),
    }


async def history(service: Service, query: Query) -> dict[str, Any]:
    visitor = query.id("visitorId")
    outputs, version = await service.ask_one("history", query.k(), visitorId=visitor)
    return {
        "visitorId": id_to_json(visitor),
        "total": outputs["total"],
        "modelVersion": version,
        "history": _items(service, outputs["contentIds"], outputs["ratings"], "rating"),
    }


async def audience(service: Service, query: Query) -> dict[str, Any]:
    item = query.id("contentId")
    outputs, version = await service.ask_one("audience", query.k(), contentId=item)
    visitors = zip(outputs["visitorIds"], outputs["scores"], strict=True)
    return {
        "contentId": id_to_json(item),
        "modelVersion": version,
        "audience": [
            {"rank": rank, "visitorId": id_to_json(visitor), "score": score}
            for rank, (visitor, score) in enumerate(visitors, 1)
        ],
    }


async def similar_items(service: Service, query: Query) -> dict[str, Any]:
    item = query.id("contentId")
    outputs, version = await service.ask_one("similar_items", query.k(), contentId=item)
    return {
        "contentId": id_to_json(item),
        "modelVersion": version,
        "similar_items": _items(service, outputs["contentIds"], outputs["scores"], "score"),
    }


async def explanation(service: Service, query: Query) -> dict[str, Any]:
    visitor, item = query.id("visitorId"), query.id("contentId")
    outputs, version = await service.ask_one("explanation", query.k(), visitorId=visitor, contentId=item)
    return {
        "visitorId": id_to_json(visitor),
        "contentId": id_to_json(item),
        "score": outputs["score"],
        "modelVersion": version,
        "explanation": _items(service, outputs["contentIds"], outputs["contributions"], "contribution"),
    }


def _items(service: Service, ids: Iterable[bytes], values: Iterable[float], name: str) -> list[dict[str, Any]]:
    """Return items with rank and value, and with title and category if the catalogue has them."""
    items = []
    for rank, (item_id, value) in enumerate(zip(ids, values, strict=True), 1):
        item = {"rank": rank, "contentId": id_to_json(item_id), name: value}
        if entry := service.catalogue.get(item_id.decode("utf-8", "replace")):
            item["title"], item["category"] = entry
        items.append(item)
    return items


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


class Address(NamedTuple):
    """A GET address: its handler, its answer, its summary for OpenAPI and its parameters."""

    path: str
    handler: Callable[[Service, Query], Awaitable[dict[str, Any]]]
    answer: type[BaseModel]
    summary: str
    parameters: tuple[str, ...]


ADDRESSES = (
    Address(
        "/recommendations",
        recommendations,
        openapi.Recommendations,
        "Recommend items for a visitor",
        ("visitorId", "k"),
    ),
    Address(
        "/history", history, openapi.History, "List the items of a visitor, highest rating first", ("visitorId", "k")
    ),
    Address("/audience", audience, openapi.Audience, "List visitors for an item", ("contentId", "k")),
    Address("/similar_items", similar_items, openapi.SimilarItems, "List items similar to an item", ("contentId", "k")),
    Address(
        "/explanation",
        explanation,
        openapi.Explanation,
        "Explain a score by the visitor's own items",
        ("visitorId", "contentId", "k"),
    ),
)
RENAMED = {"/similar": "/similar_items", "/why": "/explanation"}  # old address -> new address
