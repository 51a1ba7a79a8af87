"""Command that serves a model over HTTP: wals serve --config configs/local.yaml"""

from __future__ import annotations

import gc
import logging
import math
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts import catalogue
from artifacts.catalogue import Catalogue, Links
from configs import cli
from configs.errors import UserError
from configs.settings import Settings

if TYPE_CHECKING:
    import uvicorn

_EPILOG = """\
The server has TensorFlow Serving's REST API (POST /v1/models/wals:predict), answers with titles
(GET /recommendations?visitorId=) and a page (/). /openapi.json describes all addresses. A version that
wals publish adds becomes the live version without losing a request.

examples:
  wals serve --config configs/local.yaml
  wals serve --config configs/local.yaml --host 0.0.0.0 --port 80 --set serving.threads=8
"""
_FLAGS = ("directory", "host", "port", "workers", "tls_certificate", "tls_key")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and serve until the process is told to stop."""
    parser = cli.parser("wals serve", "Serve the newest version of a model.", epilog=_EPILOG)
    parser.add_argument("--directory", metavar="DIR", help="directory of NAME/VERSION, local or gs://")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 accepts other machines")
    parser.add_argument("--port", metavar="N", help="port to listen on; 0 takes a free one")
    parser.add_argument("--workers", metavar="N", help="processes that answer, over one copy of the tables")
    parser.add_argument("--tls_certificate", metavar="FILE", help="certificate in PEM, for HTTPS")
    parser.add_argument("--tls_key", metavar="FILE", help="its private key in PEM")
    parser.add_argument("--catalogue", metavar="FILE", help="titles that win over the model's (default: the config's)")
    args = parser.parse_args(argv)
    flags = {f"serving.{name}": getattr(args, name) for name in _FLAGS}
    settings = cli.settings_from(args, flags | {"catalogue": args.catalogue})
    _log_to_stderr()
    from serving import hosts, workers

    serving, required = settings.serving, args.catalogue is not None
    listening = hosts.listen(serving.host, serving.port)
    host, port = listening.getsockname()[:2]
    name, scheme = f"[{host}]" if ":" in host else host, "https" if serving.tls_certificate else "http"
    announced = f"serving {serving.directory}/{serving.name} on {scheme}://{name}:{port}/"
    if serving.workers > 1:
        print(announced, flush=True)
        sys.exit(workers.run(settings, required, listening, _work))
    server = _server(settings, required)
    _reduce_latency()
    print(announced, flush=True)
    server.run(sockets=[listening])


def _work(settings: Settings, required_catalogue: bool, listening: socket.socket) -> None:
    """Serve as one of several processes."""

    def serve(argv: Sequence[str] | None) -> None:
        _log_to_stderr()
        server = _server(settings, required_catalogue)
        _reduce_latency()
        server.run(sockets=[listening])

    sys.exit(cli.run(serve, []))


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("serving").setLevel(logging.INFO)


def _reduce_latency() -> None:
    """Shorten the time that requests wait for the interpreter while another thread loads a version."""
    gc.freeze()  # imported modules stay, so the garbage collector need not visit them
    sys.setswitchinterval(0.0005)  # s; the loading thread yields sooner to the one that answers


def prepare(settings: Settings, required_catalogue: bool = False) -> tuple[uvicorn.Server, socket.socket]:
    """Return a server that is ready to run, and its listening socket, or raise UserError."""
    from serving import hosts

    return _server(settings, required_catalogue), hosts.listen(settings.serving.host, settings.serving.port)


def _server(settings: Settings, required_catalogue: bool) -> uvicorn.Server:
    """Return a server that is ready to run on a socket, or raise UserError."""
    import uvicorn

    from serving.draining import DrainingServer
    from serving.http import app, connections
    from serving.models.online import Online
    from serving.models.service import Service

    serving = settings.serving
    for path in filter(None, (serving.tls_certificate, serving.tls_key)):
        if not os.path.isfile(path):
            raise UserError(f"{path} does not exist; name the PEM files of --tls_certificate and --tls_key")
    names, links = _read_catalogue(settings.catalogue, required_catalogue)
    service = Service(serving, names, settings.added_items, links)
    if settings.events.accept:
        from serving.events.live import Live  # with the pipeline's rules, which other servers need not import

        service.live = Live(settings, service)
    if Online.is_asked_for(settings):
        service.online = Online(settings, service.registry, service.prepare_version, service.limits)
    config = uvicorn.Config(
        app.create(service),
        http=connections.BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(serving.trusted_proxies),
        forwarded_allow_ips=list(serving.trusted_proxies),
        ssl_certfile=serving.tls_certificate,
        ssl_keyfile=serving.tls_key,
        limit_concurrency=4 * serving.max_waiting,  # connections; uvicorn itself answers 503 to more
        timeout_graceful_shutdown=math.ceil(serving.timeout_seconds) + 1,
    )
    try:
        config.load()
    except OSError as error:  # of the ssl module, too
        raise UserError(f"the certificate or its key cannot be used ({error}); name files in PEM") from error
    return DrainingServer(config, service)


def _read_catalogue(path: str | None, required: bool) -> tuple[Catalogue, Links]:
    """Return the names and the links in a file; a table of BigQuery has come with the model already."""
    if path is None or (not required and catalogue.in_bigquery(path)):
        return {}, {}
    if not required and not catalogue.is_file(path):
        logging.getLogger("serving").warning("catalogue %s does not exist; items have the model's titles", path)
        return {}, {}
    table = catalogue.read_table(path)
    return catalogue.names_in(table), catalogue.links_in(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
