"""TensorFlow Serving's REST API: predict by rows or columns, the state of versions, and metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.requests import ClientDisconnect

from serving.errors import Refusal
from serving.http import codec, openapi
from serving.http.replies import errors, reply
from serving.models.service import Service
from serving.models.signatures import Arrays
from serving.rules.limits import LEFT_OUT

router = APIRouter(prefix="/v1/models", tags=["TensorFlow Serving"])

Name = Annotated[str, Path(description="Name of the model: serving.name.")]
Number = Annotated[int, Path(ge=0, description="Number of the version.")]


def _post(path: str, summary: str) -> Callable:
    return router.post(path, summary=summary, responses=errors(400, 404, 408, 413, 429, 503, 504))


def _get(path: str, summary: str, model: Any) -> Callable:
    return router.get(path, summary=summary, response_model=model, responses=errors(400, 404, 503))


@_post("/{name}:predict", "Run a signature")
async def predict(request: Request, name: Name) -> Response:
    return await _predict(request, name, None)


@_post("/{name}/versions/{version:int}:predict", "Run a signature of one version")
async def predict_version(request: Request, name: Name, version: Number) -> Response:
    return await _predict(request, name, version)


@_get("/{name}", "List versions and their states", openapi.ModelStatus)
async def status(request: Request, name: Name) -> Response:
    return reply(_service(request, name).registry.status())


@_get("/{name}/versions/{version:int}", "Get the state of one version", openapi.ModelStatus)
async def status_of_version(request: Request, name: Name, version: Number) -> Response:
    return reply(_service(request, name).registry.status(version))


@_get("/{name}/metadata", "Get the signatures", openapi.Metadata)
async def metadata(request: Request, name: Name) -> Response:
    return reply(_service(request, name).registry.model().metadata(name))


@_get("/{name}/versions/{version:int}/metadata", "Get the signatures of one version", openapi.Metadata)
async def metadata_of_version(request: Request, name: Name, version: Number) -> Response:
    return reply(_service(request, name).registry.model(version).metadata(name))


def _service(request: Request, name: str) -> Service:
    service = request.app.state.service
    if name != service.settings.name:
        raise Refusal(404, "Servable not found for request: no model has this name")
    return service


async def _predict(request: Request, name: str, version: int | None) -> Response:
    service = _service(request, name)
    async with service.admitted():
        body = await read_body(request, service)
        model = service.registry.model(version)
        parsed = codec.parse(body, model.signatures, service.settings)

        def encode(outputs: Arrays) -> bytes:
            outputs.pop(LEFT_OUT, None)
            return codec.encode(outputs, parsed.by_columns)

        return reply(await service.ask(model, parsed, encode))


async def read_body(request: Request, service: Service) -> bytes:
    """Return the whole body, within half of a request's time; raise Refusal if it is too large, late or incomplete."""
    most, body = service.settings.max_body_bytes, bytearray()
    too_large = Refusal(413, f"the body is larger than {most:,} bytes")
    length = request.headers.get("content-length", "0")
    if len(length) > 15 or (length.isdigit() and int(length) > most):
        raise too_large
    try:
        async with asyncio.timeout(service.settings.timeout_seconds / 2):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, "the body did not arrive in time") from None
    except ClientDisconnect:
        raise Refusal(400, "the body is incomplete") from None
    return bytes(body)
