"""Names of this machine, and the socket that the server listens on."""

from __future__ import annotations

import socket

from configs.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    return host in LOOPBACK or host.startswith("127.")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, on a free port if `port` is 0; raise UserError if the address is not available."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=1024)
    except OSError as error:
        reason = str(error.strerror).partition(" (while ")[0]
        raise UserError(f"cannot listen on {host} port {port} ({reason}); choose another --port") from error
