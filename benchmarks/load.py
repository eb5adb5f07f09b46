"""A load generator that costs little: raw HTTP/1.1 over kept-alive sockets, many connections in one thread.

The measured servers share the machine with the generator, so it parses no more of an answer than
its status and length.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

Make = Callable[[], bytes]
"""Makes the next request of one connection, as bytes ready for the wire."""


class BenchError(Exception):
    """A server answered something else than it should."""


class Connection:
    """One kept-alive connection.

    Args:
        url: the server, such as ``http://127.0.0.1:5000``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.socket = socket.create_connection((self.host, self.port), timeout=300)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._need = -1

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request as bytes."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAccept: */*\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + (body or b"")

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """Send one request and wait for its answer's body.

        Raises:
            BenchError: the status is not 200.
        """
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.socket.sendall(self.request(method, path, raw))
        while True:
            answer = self.take()
            if answer is not None:
                return answer
            self.fill()

    def fill(self) -> None:
        """Read what has arrived."""
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise BenchError("the server closed the connection")
        self._buffer += piece

    def take(self) -> bytes | None:
        """The body of the next whole answer; None while it is still coming."""
        buffer = self._buffer
        if self._need < 0:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(buffer[:end]).lower()
            self._status = head[9:12]
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                raise BenchError("an answer without Content-Length")
            stop = head.find(b"\r\n", at + 2)
            self._need = int(head[at + 17 : stop if stop > 0 else len(head)])
            del buffer[: end + 4]
        if len(buffer) < self._need:
            return None
        body = bytes(buffer[: self._need])
        del buffer[: self._need]
        self._need = -1
        if self._status != b"200":
            raise BenchError(f"status {self._status.decode()}: {body[:300]!r}")
        return body

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@dataclass(frozen=True)
class Slice:
    """What one slice of load showed.

    Attributes:
        answers: how many arrived.
        seconds: how long it lasted.
        latencies: seconds each answer took.
        generator: the generator's own share of a core.
    """

    answers: int
    seconds: float
    latencies: list[float]
    generator: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


def press(connections: list[Connection], makes: list[Make], seconds: float) -> Slice:
    """Keep one request in flight on each connection for ``seconds``.

    Raises:
        BenchError: an answer was not a 200.
    """
    selector = selectors.DefaultSelector()
    sent: dict[int, float] = {}
    latencies: list[float] = []
    cpu = time.process_time()
    start = time.perf_counter()
    end = start + seconds
    for index, (connection, make) in enumerate(zip(connections, makes, strict=True)):
        selector.register(connection.socket, selectors.EVENT_READ, index)
        sent[index] = time.perf_counter()
        connection.socket.sendall(make())
    waiting = len(connections)
    while waiting:
        for key, _ in selector.select():
            index = key.data
            connection = connections[index]
            connection.fill()
            if connection.take() is None:
                continue
            now = time.perf_counter()
            latencies.append(now - sent[index])
            if now < end:
                sent[index] = now
                connection.socket.sendall(makes[index]())
            else:
                selector.unregister(connection.socket)
                waiting -= 1
    took = time.perf_counter() - start
    selector.close()
    return Slice(len(latencies), took, latencies, (time.process_time() - cpu) / took)
