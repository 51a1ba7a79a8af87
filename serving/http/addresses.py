"""Where a server listens: its socket, and what a connection may send before it is a request."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from configs.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAX_HEAD_BYTES, _MAX_HEAD_SECONDS = 65_536, 10.0


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        UserError: the address cannot be had.
    """
    found = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        if found is not None:
            found.close()
        raise UserError(f"cannot listen on {host} port {port} ({error.strerror}); choose another --port") from error
    return found


class JoinedWrites:
    """A transport that sends in one piece what is written within one step of the loop: a head and its body.

    uvicorn writes them one by one, and a write is the dearest part of a small answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on the size of a request's head and on the time it takes to arrive."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.access_log = False  # its lines would hold the addresses, and these the visitors' ids
        self._in_head, self._head_bytes = False, 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport, self.loop)))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_came()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        goes_on = self._in_head
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._await_head()
            self._head_bytes += len(data) if goes_on else 0
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(f"The head of a request has at most {_MAX_HEAD_BYTES} bytes.")

    def _await_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(_MAX_HEAD_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
