"""Answers for people and for the page: GET, titles beside the ids, one visitor or item at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from configs.settings import ServingSettings
from serving.errors import Refusal
from serving.http import openapi
from serving.http.codec import text
from serving.models.service import Service

DEFAULT_K = 10


class Query:
    """The part of an address behind `?`, with values as bytes: ids need not be UTF-8."""

    def __init__(self, raw: bytes, limits: ServingSettings):
        self._values: dict[str, list[bytes]] = {}
        self._limits = limits
        for pair in raw.split(b"&") if raw else ():
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            key = unquote_to_bytes(name).decode("utf-8", "replace")
            self._values.setdefault(key, []).append(unquote_to_bytes(value))

    def _one(self, name: str) -> bytes | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Refusal(400, f"give {name} once")
        return values[0] if values else None

    def id(self, name: str) -> bytes:
        value = self._one(name)
        if not value:
            raise Refusal(400, f"give {name}, e.g. ?{name}=...")
        if len(value) > self._limits.max_id_bytes:
            raise Refusal(400, f"{name} of {len(value):,} bytes is longer than {self._limits.max_id_bytes:,}")
        return value

    def k(self) -> int:
        value = self._one("k")
        if value is None:
            return min(DEFAULT_K, self._limits.max_k)
        if not value.isdigit() or not 1 <= int(value[:20]) <= self._limits.max_k or len(value) > 20:
            raise Refusal(400, f"k must be a whole number between 1 and {self._limits.max_k}")
        return int(value)


def _listed(service: Service, ids: Iterable[bytes], values: Iterable[float], called: str) -> list[dict[str, Any]]:
    """Items in the order given, with rank, and with title and category where the catalogue has them."""
    found = []
    for rank, (name, value) in enumerate(zip(ids, values, strict=True), 1):
        line = {"rank": rank, "contentId": text(name), called: value}
        about = service.catalogue.get(name.decode("utf-8", "replace"))
        if about:
            line["title"], line["category"] = about
        found.append(line)
    return found


async def recommendations(service: Service, query: Query) -> dict[str, Any]:
    visitor, k = query.id("visitorId"), query.k()
    model, found = await service.ask_one("recommend", k, visitorId=visitor)
    return {
        "visitorId": text(visitor),
        "rule": text(found["rule"]),
        "modelVersion": model.number,
        "recommendations": _listed(service, found["contentIds"], found["scores"], "score"),
    }


async def history(service: Service, query: Query) -> dict[str, Any]:
    visitor, k = query.id("visitorId"), query.k()
    model, found = await service.ask_one("history", k, visitorId=visitor)
    return {
        "visitorId": text(visitor),
        "total": found["total"],
        "modelVersion": model.number,
        "history": _listed(service, found["contentIds"], found["ratings"], "rating"),
    }


async def similar_items(service: Service, query: Query) -> dict[str, Any]:
    item, k = query.id("contentId"), query.k()
    model, found = await service.ask_one("similar_items", k, contentId=item)
    return {
        "contentId": text(item),
        "modelVersion": model.number,
        "similar_items": _listed(service, found["contentIds"], found["scores"], "score"),
    }


async def explanation(service: Service, query: Query) -> dict[str, Any]:
    visitor, item, k = query.id("visitorId"), query.id("contentId"), query.k()
    model, found = await service.ask_one("explanation", k, visitorId=visitor, contentId=item)
    return {
        "visitorId": text(visitor),
        "contentId": text(item),
        "score": found["score"],
        "modelVersion": model.number,
        "explanation": _listed(service, found["contentIds"], found["contributions"], "contribution"),
    }


def about(service: Service) -> dict[str, Any]:
    """What the page says of the model, and visitors to begin with."""
    model = service.registry.current
    found: dict[str, Any] = {"model": service.settings.name, "titles": bool(service.catalogue)}
    if model is None:
        return found | {"version": None, "reason": service.registry.why_not(), "examples": []}
    examples = [text(name) for name in model.examples if name not in service.deleted.ids]
    counts = {"visitors": model.count("users"), "items": model.count("items")}
    return found | counts | {"version": model.number, "examples": examples[: service.settings.example_visitors]}


# Address -> what answers it, the answer's model, and what it takes.
ADDRESSES = {
    "/recommendations": (
        recommendations,
        openapi.Recommendations,
        "What a visitor would like",
        ("visitorId", "k"),
    ),
    "/history": (history, openapi.History, "What a visitor has, the best rated first", ("visitorId", "k")),
    "/similar_items": (similar_items, openapi.SimilarItems, "Items like one", ("contentId", "k")),
    "/explanation": (
        explanation,
        openapi.Explanation,
        "What of a visitor's history carries a score",
        ("visitorId", "contentId", "k"),
    ),
}
