"""What a training program sees: the unmodified mlflow client, its own floor, and our client.

The floor is the client against a server that answers ``{}`` at once: what is left is the client itself.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from servers import Server
from tracking import experiment, new_runs, now_ms

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
SDK_POINTS = 400_000


@contextmanager
def instant_server() -> Iterator[str]:
    """The address of a server that answers ``{}`` to whatever it is asked, at once."""
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(0.2)
    over = threading.Event()

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = door.accept()
            except TimeoutError:
                continue
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        door.close()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    with connection:
        while piece := connection.recv(1 << 20):
            buffer += piece
            while (end := buffer.find(b"\r\n\r\n")) >= 0:
                head = buffer[:end].lower()
                at = head.find(b"content-length:")
                length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                if len(buffer) < end + 4 + length:
                    break
                buffer = buffer[end + 4 + length :]
                connection.sendall(_ANSWER)


def mlflow_calls(url: str, run_id: str, seconds: float) -> dict[str, float]:
    """Calls (or points) per second through ``MlflowClient``, from one thread."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(url)
    step = now_ms() % 10**9

    def one() -> int:
        nonlocal step
        step += 1
        client.log_metric(run_id, "loss", 0.5, step=step)
        return 1

    def many() -> int:
        nonlocal step
        at = now_ms()
        client.log_batch(run_id, [Metric("loss", 0.5, at, step + index) for index in range(1000)])
        step += 1000
        return 1000

    return {
        "mlflow client: log_metric, 1 thread": _rate(one, seconds),
        "mlflow client: log_batch of 1000 points, 1 thread": _rate(many, seconds),
    }


def run_for(server: Server) -> str:
    """A run on a server, for the client to log to."""
    return new_runs(server, experiment(server, f"client {now_ms()}"), 1)[0]


def own_client(server: Server) -> tuple[float, float]:
    """Points per second from one training loop of our client: (as the loop sees it, until all are durable)."""
    from stile.client import Client

    with Client(server.url) as client:
        run = client.run("bench", system_every_s=0, code=False, environment=False)
        begun = time.perf_counter()
        for step in range(SDK_POINTS // 4):
            run.log({"loss": 0.5, "accuracy": 0.5, "rate": 0.1, "norm": 1.0}, step=step)
        looped = time.perf_counter()
        run.end()
        return SDK_POINTS / (looped - begun), SDK_POINTS / (time.perf_counter() - begun)


def _rate(call: Callable[[], int], seconds: float) -> float:
    call()
    begun, done = time.perf_counter(), 0
    while (took := time.perf_counter() - begun) < seconds:
        done += call()
    return done / took
