"""The server behind a load balancer: workers, draining, TLS, keys, limits, CORS, and observers of requests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

import httpx
import pytest

from configs.errors import UserError
from serving import server
from serving.errors import Refusal
from serving.http import app, observers
from serving.http.limiter import Limiter
from serving.keys import Keys
from serving.models.service import Service
from tests.support.served import running, settings, wait

KEY = "k" * 20


def ask(settings, *requests, draining=False):
    """Return the answers of an application without a model to (method, path, headers)."""
    service = Service(settings.serving)
    service.draining = draining
    application = app.create(service)

    async def answers():
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [await client.request(method, path, headers=headers) for method, path, headers in requests]

    return asyncio.run(answers())


def test_a_key_is_one_of_the_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{'x' * 16}\n\n{KEY}\n")
    keys = Keys(str(path))
    keys.require(f"Bearer {KEY}")
    keys.require(f"bearer  {'x' * 16}")
    for header in (None, "", "Bearer", f"Basic {KEY}", f"Bearer {KEY}k", "Bearer \u00e9"):
        with pytest.raises(Refusal, match="needs an API key") as refused:
            keys.require(header)
        assert refused.value.status == 401
    Keys(None).require(None)
    path.write_text("short\n")
    with pytest.raises(UserError, match="16 characters or more"):
        Keys(str(path))


def test_items_need_an_admin_key_where_the_settings_name_some(tmp_path):
    (tmp_path / "keys").write_text(KEY)
    service = settings(tmp_path, accept_items=True, admin_keys=str(tmp_path / "keys"))
    application = Service(service.serving, added_items=str(tmp_path / "added"))
    transport = httpx.ASGITransport(app.create(application))

    async def post(headers):
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/items", json={"items": []}, headers=headers)

    assert asyncio.run(post({})).status_code == 401
    assert asyncio.run(post({"authorization": f"Bearer {KEY}"})).status_code != 401


def test_a_client_has_a_burst_of_two_seconds_and_then_its_rate():
    limit = Limiter(2.0)
    assert [limit.take("a", 0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert limit.take("b", 0.0) and limit.take("a", 0.5) and not limit.take("a", 0.6)
    assert [limit.take("a", 100.0) for _ in range(5)] == [True] * 4 + [False]


def test_one_client_is_refused_but_health_checks_are_not(tmp_path):
    answers = ask(settings(tmp_path, requests_per_second=0.5), *[("GET", "/about", {})] * 2, ("GET", "/healthz", {}))
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].headers["retry-after"] == "1"


def test_a_server_that_drains_closes_connections_after_their_answers(tmp_path):
    request = "GET", "/recommendations?visitorId=v0", {}
    (before,), (after,) = (ask(settings(tmp_path), request, draining=draining) for draining in (False, True))
    assert "connection" not in before.headers and after.headers["connection"] == "close"


def test_only_named_origins_may_read_answers(tmp_path):
    shop = {"origin": "https://shop.example"}
    asked = [("GET", "/healthz", shop), ("GET", "/healthz", {"origin": "https://other.example"})]
    preflight = ("OPTIONS", "/recommendations", shop | {"access-control-request-method": "GET"})
    allowed, other, before = ask(settings(tmp_path, cors_origins=["https://shop.example"]), *asked, preflight)
    assert (
        allowed.headers["access-control-allow-origin"]
        == "https://shop.example"
        == before.headers["access-control-allow-origin"]
    )
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in ask(settings(tmp_path), asked[0])[0].headers


def test_the_access_log_has_a_line_per_request_without_ids(tmp_path, capsys):
    ask(settings(tmp_path, access_log=True), ("GET", "/recommendations?visitorId=secret", {}), ("GET", "/secret", {}))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/recommendations", 503), ("GET", "other", 404)
    ]  # fmt: skip
    assert all(line["ms"] >= 0 and line["time"].endswith("+00:00") for line in lines)


def test_a_span_continues_the_trace_of_its_request_and_names_no_id():
    spans, durations = [], []
    span = SimpleNamespace(end=lambda at: spans[-1].update(ended=at))
    tracer = SimpleNamespace(start_span=lambda name, context, kind, attributes, start_time: spans.append(
        {"name": name, "context": context, "started": start_time, **attributes}) or span)  # fmt: skip
    histogram = SimpleNamespace(record=lambda *values: durations.append(values))
    meter = SimpleNamespace(create_histogram=lambda *names: histogram)
    observe = observers.telemetry(tracer, meter, lambda headers: headers["traceparent"], "server")
    scope = {"headers": [(b"traceparent", b"00-1-2-01")], "query_string": b"visitorId=secret"}
    observe(observers.Observed("GET", "/recommendations", 200, 0.25), scope)
    assert spans[0]["name"] == "GET /recommendations" and spans[0]["context"] == "00-1-2-01"
    assert spans[0]["ended"] - spans[0]["started"] == 250_000_000 and "secret" not in str(spans)
    assert durations == [(0.25, {"http.request.method": "GET", "http.route": "/recommendations",
                                 "http.response.status_code": 200})]  # fmt: skip


def test_the_server_speaks_https(tmp_path):
    names = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    subprocess.run([*command, "-keyout", names["key"], "-out", names["certificate"]], check=True, capture_output=True)
    files = {f"tls_{name}": str(path) for name, path in names.items()}
    trusted = ssl.create_default_context(cafile=files["tls_certificate"])
    with running(settings(tmp_path, **files), ready=False, verify=trusted) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
    with pytest.raises(UserError, match="does not exist"):
        server.prepare(settings(tmp_path, tls_certificate=str(tmp_path / "none.pem")))
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(UserError, match="cannot be used"):
        server.prepare(settings(tmp_path, **files))


def test_workers_share_a_port_and_one_that_dies_is_replaced(served_model, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"serving: {{directory: {served_model / 'served'}, port: 0, workers: 2, drain_seconds: 0.5}}\n")
    command = [sys.executable, "-m", "serving.server", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split(" on ")[1].strip()
            wait(lambda: loads(url) == 2)
            first, second = children(process.pid)
            os.kill(first, signal.SIGKILL)
            wait(lambda: loads(url) == 3)
            assert second in children(process.pid)
            process.terminate()
            wait(lambda: status(url) == 503, 10)
            assert process.wait(30) == 0
        finally:
            process.kill()
        assert "another one starts" in process.stderr.read()


def loads(url):
    """Return how many versions all workers together have loaded; None if the one that was asked has just died."""
    try:
        with urllib.request.urlopen(f"{url}metrics", timeout=20) as answer:  # noqa: S310 - loopback
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return sum(float(line.split()[1]) for line in lines if line.startswith("wals_model_loads_total "))


def status(url):
    try:
        with urllib.request.urlopen(f"{url}readyz", timeout=20) as answer:  # noqa: S310 - loopback
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def children(pid):
    """Return the processes of workers, without multiprocessing's own."""
    command = ["ps", "-ww", "--ppid", str(pid), "-o", "pid=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if "spawn_main" in line]
