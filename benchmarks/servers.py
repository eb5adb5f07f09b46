"""The servers that are measured: ours from this checkout, and the peers that are installed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import BenchError, Connection

_TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server process.

    Attributes:
        name: how the tables call it.
        url: where it answers.
        started_s: seconds from the start of the process to its first answer.
    """

    def __init__(self, name: str, command: list[str], port: int, folder: Path, *, environment: dict[str, str]) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "server.log").open("wb")
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=self._log, stderr=self._log, env=os.environ | environment,
            start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._wait(port, folder)
        self.started_s = time.perf_counter() - begun

    def connect(self) -> Connection:
        """A new connection to it."""
        return Connection(self.url)

    def cpu_s(self) -> float:
        """Processor seconds its processes have used so far."""
        total = 0
        for pid in self._tree():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / _TICK

    def memory_mib(self) -> float:
        """Memory of its processes in MiB, shared pages counted once (PSS)."""
        total = 0
        for pid in self._tree():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def stop(self) -> None:
        """End it and what it started."""
        try:
            os.killpg(self.pid, signal.SIGTERM)
            self._process.wait(20)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _wait(self, port: int, folder: Path) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                connection = Connection(self.url)
            except OSError:
                time.sleep(0.005)
                continue
            try:
                connection.call("GET", "/health")
                return
            except (BenchError, OSError):
                time.sleep(0.005)
            finally:
                connection.close()
        self.stop()
        raise BenchError(f"{self.name} did not start on port {port}; see {folder / 'server.log'}")

    def _tree(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        return found


def _until_up(server: Server) -> None:
    connection = server.connect()
    deadline = time.monotonic() + 60
    while json.loads(connection.call("GET", "/api/v1/background"))["engine"] != "up":
        if time.monotonic() > deadline:
            raise BenchError(f"the background work of {server.name} did not come up")
        time.sleep(0.05)
    connection.close()


@contextmanager
def ours(folder: Path, *, relaxed: bool = False) -> Iterator[Server]:
    """This checkout's server on a new store in ``folder``, durable by default or ``relaxed``.

    It is handed over when its background work is up: bringing that up takes a second of processor time after the
    first answer, which no figure but the start is about.
    """
    port = free_port()
    command = [str(Path(sys.executable).parent / "stile"), "up", "--port", str(port), "--data", str(folder / "data")]
    more = ["--durability", "relaxed"] if relaxed else []
    server = Server("Stile, relaxed" if relaxed else "Stile", command + more, port, folder, environment={})
    try:
        _until_up(server)
        yield server
    finally:
        server.stop()


@contextmanager
def genuine(venv: Path, folder: Path, *, workers: int | None = 1) -> Iterator[Server]:
    """The MLflow server installed in ``venv`` on a new SQLite store in ``folder``.

    Args:
        venv: the virtual environment's folder.
        folder: where it keeps everything.
        workers: how many workers; None leaves the choice to it.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(venv / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
        *(["--workers", str(workers)] if workers else []),
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    name = "MLflow" if workers is None else f"MLflow, {workers} worker"
    server = Server(name, command, port, folder, environment=quiet)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def fasttrackml(venv: Path, folder: Path) -> Iterator[Server]:
    """The FastTrackML server installed in ``venv`` on a new SQLite store in ``folder``."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(venv / "bin" / "fml"), "server", "--listen-address", f"127.0.0.1:{port}",
        "--database-uri", f"sqlite://{folder / 'fml.db'}", "--default-artifact-root", str(folder / "artifacts"),
        "--log-level", "error",
    ]  # fmt: skip
    server = Server("FastTrackML", command, port, folder, environment={})
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
