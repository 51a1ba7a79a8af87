"""HTTP replies: JSON that no cache may store, and errors in TensorFlow Serving's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from serving.errors import Refusal
from serving.http import codec, openapi

_DESCRIPTIONS = {
    400: "The request is not valid, or exceeds a limit.",
    401: "The request has no API key that the server knows.",
    403: "The server takes no items.",
    404: "The model or version does not exist.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not of the type application/json.",
    422: "A rule of the list is not within its bounds, or the version lacks what it needs.",
    429: "Too many requests are in progress; try again.",
    503: "No version of the model is loaded yet.",
    504: "No answer within serving.timeout_seconds.",
}
FAILED = "the server failed; see its log"


def reply(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as JSON; bytes are taken as JSON already."""
    body = answer if isinstance(answer, bytes) else codec.dumps(answer)
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def refuse(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return `{"error": reason}`."""
    retry = {"retry-after": "1"} if status in (429, 503) else {}
    return reply({"error": reason}, status, retry | dict(headers or {}))


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of these errors."""
    return {status: {"model": openapi.Error, "description": _DESCRIPTIONS[status]} for status in statuses}


def add_handlers(app: FastAPI) -> None:
    """Make every error leave the server in one form, without a stack trace."""

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
