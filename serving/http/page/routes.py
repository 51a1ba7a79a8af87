"""The page, and what only it asks: search for items, and a visitor's views since the training."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from serving.errors import Refusal
from serving.events.stores import StoreDownError
from serving.http import openapi
from serving.http.answers import Query
from serving.http.page.search import ItemSearch
from serving.http.replies import errors, reply
from serving.models.service import Service
from serving.models.signatures import K

_HERE = Path(__file__).parent
_SITE = _HERE.parents[1] / "site"
_PAGE = {"/page.css": (_HERE / "page.css", "css"), "/page.js": (_HERE / "page.js", "javascript")}
_SCRIPT = {"/wals.js": (_SITE / "wals.js", "javascript")}  # for pages of the site
_SHOP = {"/shop": ("shop.html", "html"), "/shop.css": ("shop.css", "css"), "/shop.js": ("shop.js", "javascript")}
_POLICY = "default-src 'self'; img-src 'self' data:{pictures}; frame-ancestors 'none'; base-uri 'none'"
_HEADERS = {"referrer-policy": "no-referrer", "x-content-type-options": "nosniff", "cache-control": "no-cache"}


class Found(BaseModel):
    """Items that were found, the best match first."""

    modelVersion: int  # noqa: N815 - the field's name in the answer
    items: list[openapi.Item]


class View(openapi.Item):
    """A view of an item, which the rank counts from the newest."""

    amount: float = Field(description="How much the event counts.")
    timeMs: int = Field(description="Milliseconds since 1970.")  # noqa: N815


class Views(BaseModel):
    """A visitor's views that the server took, the newest first."""

    visitorId: openapi.Id  # noqa: N815
    total: int = Field(description="Number of all such views, not only of those listed.")
    views: list[View]


def answers(service: Service) -> APIRouter:
    """Return the addresses that search for items and, where the server takes events, list a visitor's views."""
    router, search = APIRouter(tags=["Answers"]), ItemSearch()

    async def find(request: Request) -> Response:
        query = Query(request.scope["query_string"], service.settings)
        text, k = query.id("query").decode("utf-8", "replace"), query.k()
        async with service.admitted():
            model = service.registry.model()
            ids = await asyncio.to_thread(search.find, model, text, k)
        return reply({"modelVersion": model.number, "items": [_entry(service, *item) for item in enumerate(ids, 1)]})

    async def views(request: Request) -> Response:
        query, live = Query(request.scope["query_string"], service.settings), service.live
        visitor, k = query.id("visitorId"), query.k()
        if live is None:
            raise Refusal(403, "this server takes no events; set events.accept")
        async with service.admitted():
            try:
                found = await live.views(live.known_as(visitor))
            except StoreDownError:
                raise Refusal(503, "the store of events does not answer; ask again") from None
        listed = [
            _entry(service, rank, view.item) | {"amount": view.amount, "timeMs": view.time_ms}
            for rank, view in enumerate(found[:k], 1)
        ]
        return reply({"visitorId": visitor, "total": len(found), "views": listed})

    _add(router, service, find, "search", "query", Found, "Search for items by id, title and category")
    if service.live:
        _add(router, service, views, "views", "visitorId", Views, "List a visitor's views since the training")
    return router


def _add(router: APIRouter, service: Service, take: Any, name: str, asked: str, answer: Any, summary: str) -> None:
    router.get(
        f"/{name}",
        summary=summary,
        operation_id=name,
        response_model=answer,
        responses=errors(400, 429, 503, 504),
        openapi_extra={"parameters": [openapi.parameter(each, service.settings) for each in (asked, K)]},
    )(take)


def _entry(service: Service, rank: int, item: bytes) -> dict[str, Any]:
    model = service.registry.current
    known = model.known_of(item.decode("utf-8", "replace")) if model else {}
    return {"rank": rank, "contentId": item, **known}


def pages(service: Service) -> APIRouter:
    """Return the page, the script for pages of the site, and the demo shop where the server takes events."""
    router = APIRouter(include_in_schema=False)
    shop = {path: (_SITE / name, kind) for path, (name, kind) in _SHOP.items()} if service.live else {}
    headers = _HEADERS | {"content-security-policy": _POLICY.format(pictures="")}
    for path, (file, kind) in (_PAGE | _SCRIPT | shop).items():
        router.get(path)(_static(file.read_bytes(), f"text/{kind}; charset=utf-8", headers))
    page = (_HERE / "page.html").read_bytes()

    @router.get("/")
    async def of_page() -> Response:
        model = service.registry.current
        pictures = "".join(f" {origin}" for origin in model.picture_origins) if model else ""
        policy = {"content-security-policy": _POLICY.format(pictures=pictures)}
        return Response(page, headers=_HEADERS | policy, media_type="text/html; charset=utf-8")

    @router.get("/about")
    async def about() -> Response:
        return reply(
            _about(service) | {"versions": await service.compared.numbers() if service.registry.current else []}
        )

    return router


def _static(body: bytes, media_type: str, headers: dict[str, str]) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return Response(body, headers=headers, media_type=media_type)

    return serve


def _about(service: Service) -> dict[str, Any]:
    """Return what the page shows about the model, and a few visitors to start with."""
    model = service.registry.current
    if model is None:
        return {"model": service.settings.name, "version": None, "reason": service.registry.reason(), "examples": []}
    examples = [visitor for visitor in model.examples if visitor not in service.deletion_list.ids]
    return {
        "model": service.settings.name,
        "version": model.number,
        "visitors": model.count("users"),
        "items": model.count("items"),
        "examples": examples[: service.settings.example_visitors],
        "variants": service.online.variants if service.online else [],
    }
