"""The head of an answer and its body reach the socket together, whatever else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from stile.edge.http_protocol import HttpProtocol


class _Socket(asyncio.Transport):
    """A transport that keeps each piece it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing is read here."""

    resume_reading = pause_reading


async def _pieces(app: Callable[[Scope, Receive, Send], object], request: bytes) -> tuple[list[bytes], _Socket]:
    config = uvicorn.Config(app, http=HttpProtocol, lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    protocol = HttpProtocol(config=config, server_state=server.server_state, app_state={})
    socket = _Socket()
    protocol.connection_made(socket)
    protocol.data_received(request)
    for _ in range(8):
        await asyncio.sleep(0)
    pieces = list(socket.pieces)
    protocol.connection_lost(None)
    return pieces, socket


def _answering(*bodies: bytes, length: int | None = None, between: Callable[[], object] | None = None) -> object:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, body in enumerate(bodies):
            if between is not None:
                await asyncio.sleep(0)
                between()
            await send({"type": "http.response.body", "body": body, "more_body": number + 1 < len(bodies)})

    return app


_GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def _body(answer: bytes) -> bytes:
    class _Read:
        def __init__(self) -> None:
            self.body = b""

        def on_body(self, body: bytes) -> None:
            self.body += body

    read = _Read()
    httptools.HttpResponseParser(read).feed_data(answer)
    return read.body


@pytest.mark.parametrize("size", [0, 2, 64 << 10])
def test_a_short_answer_is_one_piece(size: int) -> None:
    pieces, _ = asyncio.run(_pieces(_answering(b"x" * size, length=size), _GET))
    assert len(pieces) == 1
    assert _body(pieces[0]) == b"x" * size


def test_a_long_body_is_not_copied_behind_its_head() -> None:
    body = b"x" * ((64 << 10) + 1)
    pieces, _ = asyncio.run(_pieces(_answering(body, length=len(body)), _GET))
    assert [len(piece) for piece in pieces][1:] == [len(body)]
    assert _body(b"".join(pieces)) == body


def test_a_head_does_not_wait_for_a_body_that_takes_its_time() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    pieces, _ = asyncio.run(_pieces(app, _GET))
    assert len(pieces) == 1
    assert pieces[0].startswith(b"HTTP/1.1 200")
    assert pieces[0].endswith(b"\r\n\r\n")


def test_a_stream_comes_piece_by_piece_in_order() -> None:
    pieces, _ = asyncio.run(_pieces(_answering(b"one", b"two", b"HTTP/1.1 is no head here", between=int), _GET))
    assert len(pieces) >= 3
    assert _body(b"".join(pieces)) == b"onetwoHTTP/1.1 is no head here"


def test_a_connection_is_closed_behind_its_last_answer() -> None:
    request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    pieces, socket = asyncio.run(_pieces(_answering(b"", length=0), request))
    assert socket.is_closed
    assert len(pieces) == 1


def test_two_requests_at_once_get_their_answers_in_order() -> None:
    pieces, _ = asyncio.run(_pieces(_answering(b"ab", length=2), _GET + _GET))
    assert len(pieces) == 2
    assert all(piece.startswith(b"HTTP/1.1 200") and piece.endswith(b"\r\n\r\nab") for piece in pieces)
