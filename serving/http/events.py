"""POST /events: what visitors do, in the shape of GA4's Measurement Protocol."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from configs.settings import EventSettings
from serving.errors import Refusal
from serving.http.endpoints import read_body
from serving.http.replies import errors, reply
from serving.models.service import Service

PATH = "/events"


class Events(BaseModel):
    """The account of a request."""

    events: int = Field(description="Number of events in the request.")
    kept: int = Field(description="Views that are kept, one per event and item.")
    leftOut: dict[str, int] = Field(description="What does not count, by reason.")  # noqa: N815 - the field's name


async def take(request: Request) -> Response:
    """Answer a request once its views outlast the end of the server."""
    service: Service = request.app.state.service
    if service.live is None:
        raise Refusal(403, "this server takes no events; set events.accept")
    service.intake_keys.require(request.headers.get("authorization"))
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "the body must be application/json")  # which no web page of another host can send
    async with service.admitted():
        taken = await service.live.take(await read_body(request, service))
    return reply({"events": taken.events, "kept": taken.kept, "leftOut": dict(taken.left_out)})


def router(service: Service) -> APIRouter:
    """Return the address with its description."""
    router = APIRouter(tags=["Events"])
    router.post(
        PATH,
        summary="Take what a visitor does",
        operation_id="events",
        response_model=Events,
        responses=errors(400, 401, 403, 408, 413, 415, 429, 503, 504),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema(service)}}}
        },
    )(take)
    return router


def _schema(service: Service) -> dict[str, Any]:
    """Return the schema of a request; items and parameters of a wrong type are counted, so they may be anything."""
    live, longest = service.live, service.settings.max_id_bytes
    limits, by_user_id = (live.settings, live.by_user_id) if live else (EventSettings(), False)
    name: dict[str, Any] = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": longest}, {"type": "null"}]}
    digits = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    micros = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}, digits, {"type": "null"}]}
    items = {"anyOf": [{"type": "array", "maxItems": limits.max_items}, {"type": "null"}]}
    parameters = {"anyOf": [{"type": "object", "properties": {"items": items}}, {"type": "null"}]}
    event: dict[str, Any] = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "timestamp_micros": micros,
            "params": parameters,
            "items": items,
        },
        "required": ["name"],
    }
    properties: dict[str, Any] = {
        "client_id": name,
        "app_instance_id": name,
        "user_id": name,
        "timestamp_micros": micros,
    }
    properties |= {"events": {"type": "array", "items": event, "minItems": 1, "maxItems": limits.max_events}}
    names = ["client_id", "app_instance_id"] + ["user_id"] * by_user_id
    one = [{"required": [each], "properties": {each: name["anyOf"][0]}} for each in names]
    return {"type": "object", "properties": properties, "required": ["events"], "anyOf": one}
