"""What an answer reads from is closed when the caller hangs up, without waiting for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import StreamingResponse

from stile.edge import streams
from stile.testing.server import RunningServer

FILES = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _open_below(folder: Path) -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith(str(folder))
        except FileNotFoundError:  # it was the listing's own
            continue
    return found


@pytest.mark.usefixtures("no_collector")
def test_files_are_closed_when_callers_hang_up(server: RunningServer) -> None:
    assert httpx.put(f"{server.url}{FILES}/big", content=bytes(20 << 20)).status_code == 200
    port = server.services.settings.port
    folder = Path(server.services.settings.data_dir) / "blobs"
    before = _open_below(folder)
    callers = []
    for _ in range(10):
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(("127.0.0.1", port))
        caller.sendall(f"GET {FILES}/big HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        callers.append(caller)
    _wait_for(lambda: _open_below(folder) == before + 10)
    for caller in callers:
        caller.close()
    _wait_for(lambda: _open_below(folder) == before)


@pytest.mark.usefixtures("no_collector")
def test_listeners_are_gone_when_pages_are_left(server: RunningServer) -> None:
    live = server.services.live
    port = server.services.settings.port
    callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for caller in callers:
        caller.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    _wait_for(lambda: len(live._listeners) == 10)
    for caller in callers:
        caller.close()
    _wait_for(lambda: not live._listeners)


def _wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_generator_is_closed_where_it_stands() -> None:
    told: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            told.append("closed")

    async def news() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            told.append("ended")

    async def hang_up() -> None:
        for source in (streams.in_threads(pieces()), news()):
            response = StreamingResponse(source)
            assert await anext(aiter(response.body_iterator)) == b"x"
            await streams.end(response)

    asyncio.run(hang_up())
    assert told == ["closed", "ended"]
