"""Answers as HTTP: JSON that no cache keeps, and refusals in TensorFlow Serving's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from serving.errors import Refusal
from serving.http import codec, openapi

_REASONS = {
    400: "The request is none, or asks for more than the limits.",
    404: "No such model or version.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    429: "Too many requests are at work; come again.",
    503: "No version of the model is loaded yet.",
    504: "No answer within serving.timeout_seconds.",
}
FAILED = "the server failed; its log says where"


def reply(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer as JSON; bytes are JSON already."""
    content = answer if isinstance(answer, bytes) else codec.dumps(answer)
    return Response(content, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def refuse(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": reason}`."""
    again = {"retry-after": "1"} if status in (429, 503) else {}
    return reply({"error": reason}, status, again | dict(headers or {}))


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes these refusals."""
    return {status: {"model": openapi.Error, "description": _REASONS[status]} for status in statuses}


def add_handlers(app: FastAPI) -> None:
    """Every error leaves the server in one shape, and none with a stack trace."""

    @app.exception_handler(Refusal)
    async def refused(request: Any, refusal: Refusal) -> Response:
        return refuse(refusal.status, refusal.reason)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Any, error: RequestValidationError) -> Response:
        return refuse(400, "Failed to convert version: it must be a whole number")

    @app.exception_handler(HTTPException)
    async def no_route(request: Any, error: HTTPException) -> Response:
        return refuse(error.status_code, f"Malformed request: {error.detail}", error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Any, error: Exception) -> Response:
        return refuse(500, FAILED)
