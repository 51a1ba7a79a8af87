"""The application: TensorFlow Serving's REST API, answers for people, health, figures, and the page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from configs import __version__
from serving.http import endpoints, page_api, replies
from serving.http import openapi as schema
from serving.http.middleware import Guard, Handler
from serving.http.replies import errors, reply
from serving.metrics import CONTENT_TYPE
from serving.models.service import Service

_HERE = Path(__file__).parent
_PAGE = {"/": ("page.html", "html"), "/page.css": ("page.css", "css"), "/page.js": ("page.js", "javascript")}
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_ABOUT = "TensorFlow Serving's REST API for a WALS model, and answers for people. Ids are the site's own."

operations = APIRouter(tags=["Operations"])


def create(service: Service) -> Guard:
    """The application; it looks for versions of the model from its start to its end."""
    return Guard(_application(service), service, _direct(service.settings.name))


def _direct(name: str) -> dict[tuple[str, str], tuple[str, Handler]]:
    async def predict(request: Request) -> Response:
        return await endpoints.predict(request, name)

    found = {("GET", path): (path, _asking(ask)) for path, (ask, *_) in page_api.ADDRESSES.items()}
    return found | {("POST", f"/v1/models/{name}:predict"): ("/v1/models/{name}:predict", predict)}


def _application(service: Service) -> FastAPI:

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # FastAPI's own pages of the API would fetch their code from elsewhere. Traces would hold the visitors' ids, which
    # stand in addresses.
    none: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=none)
    app.state.service = service
    replies.add_handlers(app)
    for router in (endpoints.router, _people(service), operations, _page()):
        app.include_router(router)

    def openapi() -> dict[str, Any]:
        document = get_openapi(title="WALS recommender", version=__version__, description=_ABOUT, routes=app.routes)
        return schema.complete(document, service.registry.current, service.settings)

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way
    return app


def _people(service: Service) -> APIRouter:
    router = APIRouter(tags=["People"])
    for path, (ask, model, summary, names) in page_api.ADDRESSES.items():
        parameters = [schema.parameter(name, service.settings) for name in names]
        router.get(
            path,
            summary=summary,
            operation_id=path[1:],
            response_model=model,
            responses=errors(400, 429, 503, 504),
            openapi_extra={"parameters": parameters},
        )(_asking(ask))
    return router


def _asking(ask: Callable[[Service, page_api.Query], Awaitable[dict]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        service = request.app.state.service
        query = page_api.Query(request.scope["query_string"], service.settings)
        async with service.admitted():
            return reply(await ask(service, query))

    return answer


@operations.get("/healthz", summary="Whether the server runs", response_model=dict[str, str])
async def healthz() -> Response:
    return reply({"status": "ok"})


@operations.get(
    "/readyz",
    summary="Whether it can answer",
    response_model=schema.Readiness,
    responses={503: {"model": schema.Readiness, "description": "No version is loaded yet."}},
)
async def readyz(request: Request) -> Response:
    service = request.app.state.service
    current, name = service.registry.current, service.settings.name
    if current is None:
        return reply({"ready": False, "model": name, "reason": service.registry.why_not()}, 503)
    return reply({"ready": True, "model": name, "version": current.number})


@operations.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}},
)
async def metrics(request: Request) -> Response:
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE)


@operations.get("/about", include_in_schema=False)
async def about(request: Request) -> Response:
    return reply(page_api.about(request.app.state.service))


def _page() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for path, (file, kind) in _PAGE.items():
        router.get(path)(_serving((_HERE / file).read_bytes(), f"text/{kind}; charset=utf-8"))
    return router


def _serving(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return Response(content, headers=_PAGE_HEADERS, media_type=kind)

    return serve
