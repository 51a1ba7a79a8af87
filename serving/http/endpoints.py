"""TensorFlow Serving's REST API: predict by rows or columns, states of the versions, signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from starlette.requests import ClientDisconnect

from serving.errors import Refusal
from serving.http import codec, openapi
from serving.http.replies import errors, reply
from serving.models.service import Service

router = APIRouter(prefix="/v1/models", tags=["TensorFlow Serving"])

Name = Annotated[str, Path(description="Of the model: serving.name.")]
Number = Annotated[int, Path(ge=0, description="Of the version.")]


def _post(path: str, summary: str) -> Callable:
    return router.post(path, summary=summary, responses=errors(400, 404, 408, 413, 429, 503, 504))


def _get(path: str, summary: str, model: Any) -> Callable:
    return router.get(path, summary=summary, response_model=model, responses=errors(400, 404, 503))


@_post("/{name}:predict", "Ask a signature")
async def predict(request: Request, name: Name) -> Response:
    return await _predict(request, name, None)


@_post("/{name}/versions/{version:int}:predict", "Ask a signature of one version")
async def predict_version(request: Request, name: Name, version: Number) -> Response:
    return await _predict(request, name, version)


@_get("/{name}", "Versions and their states", openapi.ModelStatus)
async def status(request: Request, name: Name) -> Response:
    return reply(_service(request, name).registry.status())


@_get("/{name}/versions/{version:int}", "State of one version", openapi.ModelStatus)
async def status_of_version(request: Request, name: Name, version: Number) -> Response:
    return reply(_service(request, name).registry.status(version))


@_get("/{name}/metadata", "Signatures", openapi.Metadata)
async def metadata(request: Request, name: Name) -> Response:
    return reply(_service(request, name).registry.model().metadata(name))


@_get("/{name}/versions/{version:int}/metadata", "Signatures of one version", openapi.Metadata)
async def metadata_of_version(request: Request, name: Name, version: Number) -> Response:
    return reply(_service(request, name).registry.model(version).metadata(name))


def _service(request: Request, name: str) -> Service:
    service = request.app.state.service
    if name != service.settings.name:
        raise Refusal(404, "Servable not found for request: there is no model of this name")
    return service


async def _predict(request: Request, name: str, version: int | None) -> Response:
    service = _service(request, name)
    async with service.admitted():
        body = await _body(request, service)
        model = service.registry.model(version)
        asked = codec.parse(body, model.signatures, service.settings)

        def encode(outputs: dict[str, np.ndarray]) -> bytes:
            return codec.encode(outputs, asked.by_columns)

        return reply(await service.ask(model, asked.signature, asked.inputs, asked.rows, encode))


async def _body(request: Request, service: Service) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large, or takes half of a request's time to arrive.
    """
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
        raise Refusal(400, "the body did not arrive whole") from None
    return bytes(body)
