"""Command that serves a model over HTTP: wals serve --config configs/local.yaml"""

from __future__ import annotations

import gc
import logging
import math
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts import catalogue
from configs import cli
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


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and serve until the process is told to stop."""
    parser = cli.parser("wals serve", "Serve the newest version of a model.", epilog=_EPILOG)
    parser.add_argument("--directory", metavar="DIR", help="directory of NAME/VERSION, local or gs://")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 accepts other machines")
    parser.add_argument("--port", metavar="N", help="port to listen on; 0 takes a free one")
    parser.add_argument("--catalogue", metavar="FILE", help="titles that win over the model's (default: the config's)")
    args = parser.parse_args(argv)
    flags = {f"serving.{name}": getattr(args, name) for name in ("directory", "host", "port")}
    settings = cli.settings_from(args, flags | {"catalogue": args.catalogue})
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("serving").setLevel(logging.INFO)
    cli.import_tensorflow()
    server, listening = prepare(settings, required_catalogue=args.catalogue is not None)
    _reduce_latency()
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    print(f"serving {settings.serving.directory}/{settings.serving.name} on http://{name}:{port}/", flush=True)
    server.run(sockets=[listening])


def _reduce_latency() -> None:
    """Shorten the time that requests wait for the interpreter while another thread loads a version."""
    gc.freeze()  # imported modules stay, so the garbage collector need not visit them
    sys.setswitchinterval(0.0005)  # s; the loading thread yields sooner to the one that answers


def prepare(settings: Settings, required_catalogue: bool = False) -> tuple[uvicorn.Server, socket.socket]:
    """Return a server that is ready to run, and its listening socket, or raise UserError."""
    import uvicorn

    from serving import hosts
    from serving.http import app, connections
    from serving.models.service import Service

    serving = settings.serving
    service = Service(serving, _read_catalogue(settings.catalogue, required_catalogue), settings.added_items)
    config = uvicorn.Config(
        app.create(service),
        http=connections.BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=4 * serving.max_waiting,  # connections; uvicorn itself answers 503 to more
        timeout_graceful_shutdown=math.ceil(serving.timeout_seconds) + 1,
    )
    return uvicorn.Server(config), hosts.listen(serving.host, serving.port)


def _read_catalogue(path: str | None, required: bool) -> catalogue.Catalogue:
    """Return the names in a file; a table of BigQuery has come with the model already."""
    if path is None or (not required and catalogue.in_bigquery(path)):
        return {}
    if not required and not catalogue.is_file(path):
        logging.getLogger("serving").warning("catalogue %s does not exist; items have the model's titles", path)
        return {}
    return catalogue.read(path)


if __name__ == "__main__":
    sys.exit(cli.run(main))
