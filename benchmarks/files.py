"""Files of a model through the artifact proxy: what a client puts when it logs one, and gets when it loads one."""

from __future__ import annotations

import os

from load import BenchError, Connection, Make

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
SIZES = {
    "MLmodel": 900,
    "conda.yaml": 250,
    "python_env.yaml": 120,
    "requirements.txt": 130,
    "input_example.json": 400,
    "serving_input_example.json": 450,
    "model.pkl": 60_000,
}
"""The seven files of a logged scikit-learn model, with the bytes of each."""

LARGE = 64 << 20
"""Bytes of the large file."""


def new_model() -> dict[str, bytes]:
    """Seven files nobody has put before, by name."""
    return {name: os.urandom(size) for name, size in SIZES.items()}


def put_model(connection: Connection, folder: str, model: dict[str, bytes]) -> None:
    """Put the seven files, one after the other, as MLflow's client does."""
    for name, content in model.items():
        connection.call("PUT", f"{ARTIFACTS}{folder}/{name}", content)


def get_model(connection: Connection, folder: str) -> None:
    """Get the seven files."""
    for name, size in SIZES.items():
        if len(get(connection, f"{folder}/{name}")) != size:
            raise BenchError(f"{name} came back with another size")


def get_health(connection: Connection) -> None:
    """As many calls that do nothing: what HTTP alone costs."""
    for _ in SIZES:
        connection.call("GET", "/health")


def put_large(connection: Connection, folder: str, content: bytes) -> None:
    """Put one large file; its first bytes are new each time."""
    connection.call("PUT", f"{ARTIFACTS}{folder}/large.bin", os.urandom(16) + content[16:])


def small_files(connection: Connection, folder: str) -> Make:
    """A new file of 1 KiB per call."""
    number = 0

    def make() -> bytes:
        nonlocal number
        number += 1
        return connection.request("PUT", f"{ARTIFACTS}{folder}/{number}.txt", os.urandom(1024))

    return make


def get(connection: Connection, path: str) -> bytes:
    """A file's bytes, also from a server that answers in chunks."""
    connection.socket.sendall(connection.request("GET", ARTIFACTS + path))
    buffer = bytearray()
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        buffer += _more(connection)
    head = bytes(buffer[:end]).lower()
    del buffer[: end + 4]
    if head[9:12] != b"200":
        raise BenchError(f"status {head[9:12].decode()} for {path}")
    if b"transfer-encoding: chunked" in head:
        return _chunks(connection, buffer)
    at = head.find(b"content-length:") + len(b"content-length:")
    need = int(head[at:].split(b"\r\n", 1)[0])
    while len(buffer) < need:
        buffer += _more(connection)
    return bytes(buffer)


def _chunks(connection: Connection, buffer: bytearray) -> bytes:
    content = bytearray()
    while True:
        while (end := buffer.find(b"\r\n")) < 0:
            buffer += _more(connection)
        size = int(bytes(buffer[:end]), 16)
        while len(buffer) < end + 2 + size + 2:
            buffer += _more(connection)
        content += buffer[end + 2 : end + 2 + size]
        del buffer[: end + 2 + size + 2]
        if size == 0:
            return bytes(content)


def _more(connection: Connection) -> bytes:
    piece = connection.socket.recv(1 << 20)
    if not piece:
        raise BenchError("the server closed the connection")
    return piece
