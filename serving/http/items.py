"""POST /items: bring in items by their attributes, and views of them, at once."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import orjson
import pyarrow as pa
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from artifacts.features import added_items
from artifacts.features.added_items import Change, View, column_of
from artifacts.features.fields import TEXT_LIMIT
from artifacts.features.fields import Field as Attribute
from artifacts.names import CATEGORY, CONTENT_ID, TITLE, VISITOR_ID
from configs.errors import UserError
from configs.settings import ServingSettings
from configs.settings.features import OF_WORDS
from serving.errors import Refusal
from serving.http.endpoints import read_body
from serving.http.replies import errors, reply
from serving.models.service import Service

_LARGEST = 1e30  # of a number, which the graph takes as float32
router = APIRouter(tags=["Items"])


class Items(BaseModel):
    """The account of a request: numbers of items and of views."""

    version: int = Field(description="Version of the file of added items.")
    added: int
    changed: int
    ignored: int = Field(description="Attributes that the model does not know.")
    viewsAdded: int  # noqa: N815 - the field's name in the answer
    viewsUnknown: int = Field(description="Views of items that were not added.")  # noqa: N815


@router.post(
    "/items",
    summary="Bring in items by their attributes, and views of them",
    response_model=Items,
    responses=errors(400, 401, 403, 408, 413, 415, 429, 503, 504),
)
async def add(request: Request) -> Response:
    service: Service = request.app.state.service
    if not (service.settings.accept_items and service.added.path):
        raise Refusal(403, "this server takes no items; set serving.accept_items and added_items")
    service.admin_keys.require(request.headers.get("authorization"))
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "the body must be application/json")  # which no web page of another host can send
    async with service.admitted():
        body = await read_body(request, service)
        rows, views, ignored = parse(body, service.registry.model().attributes, service.settings)
        changes = await asyncio.to_thread(_change, service, rows, views)
    items, viewed = changes
    version = max(change.version for change in changes)
    counts = {"added": items.added, "changed": items.changed, "ignored": ignored}
    return reply({"version": version, **counts, "viewsAdded": viewed.added, "viewsUnknown": viewed.unknown})


def _change(service: Service, rows: pa.Table, views: list[View]) -> tuple[Change, Change]:
    path, none = service.added.path or "", Change(0, 0)
    try:
        changes = (
            added_items.add(path, rows) if rows.num_rows else none,
            added_items.add_views(path, views) if views else none,
        )
    except UserError as error:
        raise Refusal(503, str(error)) from error
    service.refresh_items()
    return changes


def parse(body: bytes, attributes: list[Attribute], limits: ServingSettings) -> tuple[pa.Table, list[View], int]:
    """Return the items as rows of the file, the views, and the number of values that are not attributes.

    Raise Refusal if the body is something else, exceeds a limit, or an attribute is not of its kind.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"JSON Parse error: {error}") from None
    if not isinstance(content, dict) or not content or content.keys() - {"items", "views"}:
        raise Refusal(400, "the body must be an object with 'items' or 'views', or both")
    items, views = (_rows(content.get(name, []), name, limits) for name in ("items", "views"))
    ids = [_id(row, CONTENT_ID, f"items[{number}]", limits) for number, row in enumerate(items)]
    if len(set(ids)) < len(ids):
        raise Refusal(400, "an item is there twice; send it once")
    columns: dict[str, pa.Array] = {CONTENT_ID: pa.array(ids, pa.binary())}
    for name in (TITLE, CATEGORY):
        texts = [value if isinstance(value := row.get(name), str) else None for row in items]
        columns[name] = pa.array(texts, pa.string())
    for field in attributes:
        values = [_value(row.get(field.name), field, f"items[{number}]") for number, row in enumerate(items)]
        columns[column_of(field)] = pa.array(values, _type(field))
    known = {CONTENT_ID, TITLE, CATEGORY, *(field.name for field in attributes)}
    ignored = sum(len(row.keys() - known) for row in items)
    return pa.table(columns), [_view(row, f"views[{number}]", limits) for number, row in enumerate(views)], ignored


def _rows(value: Any, name: str, limits: ServingSettings) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Refusal(400, f"'{name}' must be a list of objects")
    if len(value) > limits.max_batch:
        raise Refusal(400, f"a request may have at most {limits.max_batch} {name}, not {len(value)}")
    return value


def _id(row: dict[str, Any], name: str, where: str, limits: ServingSettings) -> bytes:
    value = row.get(name)
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not text.strip() or "\n" in text or "\r" in text:
        raise Refusal(400, f"{where}: {name} must be a text of one line")
    if len(text.encode()) > limits.max_id_bytes:
        raise Refusal(400, f"{where}: {name} may have at most {limits.max_id_bytes:,} bytes")
    return text.encode()


def _view(row: dict[str, Any], where: str, limits: ServingSettings) -> View:
    rating = row.get("rating", 1.0)
    if type(rating) not in (int, float) or not math.isfinite(rating):
        raise Refusal(400, f"{where}: rating must be a number")
    return View(_id(row, CONTENT_ID, where, limits), _id(row, VISITOR_ID, where, limits), float(rating))


def _type(field: Attribute) -> pa.DataType:
    if field.kind in OF_WORDS:
        return pa.string()
    return pa.list_(pa.float32()) if field.kind == "embedding" else pa.float32()


def _value(value: Any, field: Attribute, where: str) -> Any:
    """Return an attribute as the graph of the features takes it; null if it is missing."""
    if value is None:
        return None
    if field.kind in OF_WORDS:
        parts = value if isinstance(value, list) else [value]
        if all(type(part) in (str, int) for part in parts):
            return field.between.join(map(str, parts))[:TEXT_LIMIT]
        raise Refusal(400, f"{where}: {field.name} must be a text, or a list of texts")
    numbers = value if field.kind == "embedding" and isinstance(value, list) else [value]
    if not all(type(number) in (int, float) and abs(number) < _LARGEST for number in numbers):
        raise Refusal(400, f"{where}: {field.name} must be {'finite numbers' if field.dimension else 'a number'}")
    if field.kind == "embedding" and len(numbers) != field.dimension:
        raise Refusal(400, f"{where}: {field.name} must be a list of {field.dimension} numbers")
    if field.kind in ("price", "time") and value < 0:
        raise Refusal(400, f"{where}: {field.name} must be 0 or more")
    return value
