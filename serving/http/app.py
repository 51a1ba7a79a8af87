"""The application: TensorFlow Serving's REST API, answers with titles, health, metrics and the page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from configs import __version__
from serving.errors import Refusal
from serving.http import answers, endpoints, events, items, replies
from serving.http import openapi as schema
from serving.http.middleware import FastPath, Handler, Middleware
from serving.http.page import routes
from serving.http.replies import errors, reply
from serving.metrics import CONTENT_TYPE
from serving.models.service import Service
from serving.rules import parameters

_DESCRIPTION = "TensorFlow Serving's REST API for a WALS model, and answers with titles. Ids are the site's own."

operations = APIRouter(tags=["Operations"])


def create(service: Service) -> Any:
    """Return the application. It looks for new versions of the model while it runs."""
    inner: Any = Middleware(_application(service), service, _fast_path(service.settings.name))
    origins = service.settings.cors_origins
    if not origins:
        return inner
    headers = ["authorization", "content-type"]
    return CORSMiddleware(inner, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)


def _fast_path(name: str) -> FastPath:
    async def predict(request: Request) -> Response:
        return await endpoints.predict(request, name)

    gets = {("GET", f"/{address.name}"): (f"/{address.name}", _handler(address)) for address in answers.ADDRESSES}
    gets |= {("GET", old): ("other", _renamed(old, new)) for old, new in answers.RENAMED.items()}
    gets |= {("POST", events.PATH): (events.PATH, events.take)}
    return gets | {("POST", f"/v1/models/{name}:predict"): ("/v1/models/{name}:predict", predict)}


def _application(service: Service) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # FastAPI's own pages of the API would load code from another host. Traces would contain the visitors' ids, which
    # are in the addresses.
    off: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=off)
    app.state.service = service
    replies.add_handlers(app)
    for router in (
        endpoints.router,
        _answers(service),
        routes.answers(service),
        events.router(service),
        items.router,
        operations,
        routes.pages(service),
    ):
        app.include_router(router)

    def openapi() -> dict[str, Any]:
        document = get_openapi(
            title="WALS recommender", version=__version__, description=_DESCRIPTION, routes=app.routes
        )
        return schema.complete(document, service.registry.current, service.settings)

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way
    return app


def _answers(service: Service) -> APIRouter:
    router = APIRouter(tags=["Answers"])
    for address in answers.ADDRESSES:
        router.get(
            f"/{address.name}",
            summary=address.summary,
            operation_id=address.name,
            response_model=address.schema(),
            responses=errors(*([400, 404, 422] if address.is_limited else [400]), 429, 503, 504),
            openapi_extra={"parameters": _parameters(address, service)},
        )(_handler(address))
    return router


def _parameters(address: answers.Address, service: Service) -> list[dict[str, Any]]:
    described = [schema.parameter(name, service.settings) for name in (*address.ids, *address.also)]
    return described + (parameters.described("visitorId" in address.ids) if address.is_limited else [])


def _handler(address: answers.Address) -> Handler:
    async def answer(request: Request) -> Response:
        service = request.app.state.service
        query = answers.Query(request.scope["query_string"], service.settings)
        async with service.admitted():
            return reply(await address.answer(service, query))

    return answer


def _renamed(old: str, new: str) -> Handler:
    async def refuse(request: Request) -> Response:
        raise Refusal(404, f"the address {old} does not exist any more; its new name is {new}")

    return refuse


@operations.get("/healthz", summary="Check that the server runs", response_model=dict[str, str])
async def healthz() -> Response:
    return reply({"status": "ok"})


@operations.get(
    "/readyz",
    summary="Check that a version of the model is loaded",
    response_model=schema.Readiness,
    responses={503: {"model": schema.Readiness, "description": "No version is loaded yet."}},
)
async def readyz(request: Request) -> Response:
    service = request.app.state.service
    current, name = service.registry.current, service.settings.name
    if service.draining:
        return reply({"ready": False, "model": name, "reason": "the server is stopping"}, 503)
    if current is None:
        return reply({"ready": False, "model": name, "reason": service.registry.reason()}, 503)
    return reply({"ready": True, "model": name, "version": current.number})


@operations.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}},
)
async def metrics(request: Request) -> Response:
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE)
