"""HTTP as uvicorn speaks it, with the head of an answer and its body in one piece.

uvicorn hands the head to the socket before it is given the body. Two pieces are two system calls, two packets,
and a client that is woken for a head it can do nothing with: for a short call that is a tenth of its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "
_JOINED = 64 << 10
"""Longer bodies are not copied behind their head: sending them takes longer than a second system call."""


class HttpProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=...)``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once for each connection."""
        super().connection_made(_InOnePiece(transport, self.loop))  # type: ignore[arg-type]


class _InOnePiece:
    """A transport that keeps the head of an answer until its body comes, or until nothing else is to be done."""

    __slots__ = ("_head", "_late", "_loop", "_transport", "_write", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._write = transport.write
        self._head = b""
        self._late: asyncio.Handle | None = None
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes: a head together with what follows it at once, everything else as it comes."""
        if self._late is None:
            if data.startswith(_HEAD):
                self._head = data
                self._late = self._loop.call_soon(self._flush)  # a body that takes its time
            else:
                self._write(data)
        elif len(data) <= _JOINED:
            self._late.cancel()
            self._late = None
            self._write(self._head + data)
        else:
            self._flush()
            self._write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """As ``write``."""
        for piece in pieces:
            self.write(piece)

    def close(self) -> None:
        """End the connection when everything is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._write(self._head)
