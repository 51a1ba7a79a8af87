"""The connection protocol: uvicorn's, with bounds on the head of a request and with joined writes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MAX_HEAD_BYTES, _MAX_HEAD_SECONDS = 65_536, 10.0


class JoinedWrites:
    """A transport that sends all writes of one step of the event loop as one piece.

    uvicorn writes the head and the body of an answer separately, and a write is the slowest part of a small answer.
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
    """uvicorn's protocol, with bounds on the size of a request's head and on the time until it is complete."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.access_log = False  # its lines would contain the addresses, and so the visitors' ids
        self._in_head, self._head_bytes = False, 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport, self.loop)))
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_deadline()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        continues_head = self._in_head
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._start_deadline()
            self._head_bytes += len(data) if continues_head else 0
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(f"The head of a request has at most {_MAX_HEAD_BYTES} bytes.")

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(_MAX_HEAD_SECONDS, self.transport.close)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
