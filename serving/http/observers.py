"""Observers of requests: a line of the access log, and OpenTelemetry's spans and metrics. None has an id."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from configs import __version__
from configs.errors import UserError
from configs.settings import ServingSettings


class Observed(NamedTuple):
    """A request that was answered."""

    method: str
    path: str  # the address as it is documented, without ids
    status: int
    seconds: float


Observer = Callable[[Observed, dict[str, Any]], None]


def observers(settings: ServingSettings) -> list[Observer]:
    """Return what the settings ask for; each is called with a request and its ASGI scope."""
    chosen: list[Observer] = [log] if settings.access_log else []
    return [*chosen, _opentelemetry(settings.name)] if settings.opentelemetry else chosen


def log(request: Observed, scope: dict[str, Any]) -> None:
    """Write a JSON line to standard output."""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "ms": round(1000 * request.seconds, 3),
    }
    sys.stdout.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE).decode())
    sys.stdout.flush()


def _opentelemetry(name: str) -> Observer:
    """Return what makes a span and a measurement of each request, sent in the background by OTLP over HTTP."""
    try:
        from opentelemetry import propagate, trace
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UserError(
            f"serving.opentelemetry: {error.name} is not installed; pip install wals-recommender[opentelemetry]"
        ) from error
    resource = Resource.create({"service.name": f"wals-{name}", "service.version": __version__})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    measured = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    tracer, meter = traces.get_tracer("wals.serving"), measured.get_meter("wals.serving")
    return telemetry(tracer, meter, propagate.extract, trace.SpanKind.SERVER)


def telemetry(tracer: Any, meter: Any, extract: Callable[[dict[str, str]], Any], kind: Any) -> Observer:
    """Return the observer of a tracer and a meter, by OpenTelemetry's names for HTTP servers."""
    duration = meter.create_histogram("http.server.request.duration", "s", "Duration of HTTP server requests.")

    def observe(request: Observed, scope: dict[str, Any]) -> None:
        attributes = {
            "http.request.method": request.method,
            "http.route": request.path,
            "http.response.status_code": request.status,
        }
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        ended = time.time_ns()
        started = ended - int(1e9 * request.seconds)
        span = tracer.start_span(
            f"{request.method} {request.path}", extract(headers), kind, attributes, start_time=started
        )
        span.end(ended)
        duration.record(request.seconds, attributes)

    return observe
