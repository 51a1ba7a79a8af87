"""The server: python -m serving.server --config configs/local.yaml"""

from __future__ import annotations

import gc
import io
import logging
import math
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts import catalogue
from configs import cli
from configs.errors import UserError
from configs.settings import Settings

if TYPE_CHECKING:
    import uvicorn

_EPILOG = """\
It answers as TensorFlow Serving does, POST /v1/models/wals:predict, and to people, GET /recommendations?visitorId=;
the page is /, the description of all addresses /openapi.json. A version that python -m serving.publish adds is taken
into service without losing a request.

examples:
  python -m serving.server --config configs/local.yaml
  python -m serving.server --config configs/local.yaml --host 0.0.0.0 --port 80 --set serving.threads=8
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and serves until it is told to stop.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser("python -m serving.server", "Serves the newest version of a model.", epilog=_EPILOG)
    parser.add_argument("--directory", metavar="DIR", help="holds NAME/VERSION, local or gs://")
    parser.add_argument("--host", help="address to listen on, 0.0.0.0 for other machines too")
    parser.add_argument("--port", metavar="N", help="port to listen on, 0 for a free one")
    parser.add_argument("--catalogue", metavar="CSV", help="contentId, title, category, where not the config's")
    args = parser.parse_args(argv)
    flags = {f"serving.{name}": getattr(args, name) for name in ("directory", "host", "port")}
    settings = cli.settings_from(args, flags | {"catalogue": args.catalogue})
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("serving").setLevel(logging.INFO)
    cli.import_tensorflow()
    server, listening = prepare(settings, required_catalogue=args.catalogue is not None)
    _for_short_waits()
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    where = f"{settings.serving.directory}/{settings.serving.name}"
    print(f"serving {where} on http://{name}:{port}/", flush=True)
    server.run(sockets=[listening])


def _for_short_waits() -> None:
    """While a version is loaded, requests wait for the interpreter no longer than they must."""
    gc.freeze()  # what is imported stays: passes of the garbage collector need not look at it
    sys.setswitchinterval(0.0005)  # s; the thread that loads gives way to the one that answers


def prepare(settings: Settings, required_catalogue: bool = False) -> tuple[uvicorn.Server, socket.socket]:
    """A server that is ready to run, and its listening socket.

    Raises:
        UserError: the address, the catalogue or the list of deleted visitors cannot be had.
    """
    import uvicorn

    from serving.http import addresses, app
    from serving.models.service import Service

    own = settings.serving
    service = Service(own, _catalogue(settings.catalogue, required_catalogue))
    config = uvicorn.Config(
        app.create(service),
        http=addresses.BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=4 * own.max_waiting,  # connections; beyond them uvicorn answers 503 by itself
        timeout_graceful_shutdown=math.ceil(own.timeout_seconds) + 1,
    )
    return uvicorn.Server(config), addresses.listen(own.host, own.port)


def _catalogue(path: str | None, required: bool) -> catalogue.Catalogue:
    import tensorflow as tf

    if path is None:
        return {}
    if not required and not tf.io.gfile.exists(path):
        logging.getLogger("serving").warning("catalogue %s does not exist; items are shown by their ids", path)
        return {}
    try:
        file = tf.io.gfile.GFile(path, "rb")
        data = file.read()
    except tf.errors.OpError as error:
        raise UserError(f"catalogue {path} cannot be read: {error.message}") from error
    return catalogue.parse(io.BytesIO(data), path)


if __name__ == "__main__":
    sys.exit(cli.run(main))
