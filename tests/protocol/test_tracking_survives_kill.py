"""kill -9 of a serving process while eight clients log: what was answered is there once, and batches are whole."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

API = "/api/2.0/mlflow/"
BATCH = 50

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


class Process:
    """``stile up``, started again and again on the same data."""

    def __init__(self, store: str, data: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [
            str(Path(sys.executable).with_name("stile")), "up", "--port", str(self.port), "--data", str(data)
        ]  # fmt: skip
        self._environment = os.environ | {"STILE_STORE": store}

    def __enter__(self) -> Process:
        self._process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert "is ready" in self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return ask(connection, method, path, body)
        finally:
            connection.close()


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> dict[str, Any]:
    connection.request(method, API + path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 200, said
    return dict(json.loads(said))


class Writer(threading.Thread):
    """Logs to a run of its own until the server is gone; remembers what was answered and the one call that was not."""

    def __init__(self, server: Process, run_id: str, key: str, first: int, batches: bool) -> None:
        super().__init__(daemon=True)
        self.server, self.run_id, self.key, self.batches = server, run_id, key, batches
        self.answered: list[int] = []
        self.open = first

    def call(self, number: int) -> tuple[str, dict[str, Any]]:
        if not self.batches:
            return "runs/log-metric", {
                "run_id": self.run_id, "key": self.key, "value": number / 7, "timestamp": number, "step": number
            }  # fmt: skip
        metrics = [
            {"key": self.key, "value": step / 7, "timestamp": step, "step": step}
            for step in range(number * BATCH, (number + 1) * BATCH)
        ]
        return "runs/log-batch", {
            "run_id": self.run_id,
            "metrics": metrics,
            "params": [{"key": f"p{number}", "value": str(number)}],
            "tags": [{"key": "newest", "value": str(number)}],
        }

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            while True:
                ask(connection, "POST", *self.call(self.open))
                self.answered.append(self.open)
                self.open += 1
        except (OSError, http.client.HTTPException):
            connection.close()


def _steps(server: Process, writer: Writer) -> list[int]:
    found: list[int] = []
    token = ""
    while True:
        path = f"metrics/get-history?run_id={writer.run_id}&metric_key={writer.key}&max_results=25000"
        page = server.ask("GET", path + (f"&page_token={token}" if token else ""))
        found += [int(metric["step"]) for metric in page.get("metrics", [])]
        token = page.get("next_page_token", "")
        if not token:
            return found


def _of(writer: Writer, number: int) -> list[int]:
    return list(range(number * BATCH, (number + 1) * BATCH)) if writer.batches else [number]


def _check(server: Process, writer: Writer, known: list[int]) -> list[int]:
    """Everything answered in this round and before is there once, and of the open call all or nothing."""
    found = _steps(server, writer)
    assert len(found) == len(set(found)), "a point was stored twice"
    expected = known + [step for number in writer.answered for step in _of(writer, number)]
    doubtful = _of(writer, writer.open)
    stored = sorted(found) == sorted(expected + doubtful)
    assert stored or sorted(found) == sorted(expected), "lost, torn, or never logged"
    data = server.ask("GET", f"runs/get?run_id={writer.run_id}")["run"]["data"]
    if found:
        (newest,) = data["metrics"]
        assert (int(newest["step"]), newest["value"]) == (max(found), max(found) / 7)
    if writer.batches:
        count = len(found) // BATCH
        assert {param["key"] for param in data.get("params", [])} == {f"p{number}" for number in range(count)}
        assert [tag["value"] for tag in data["tags"] if tag["key"] == "newest"] == ([str(count - 1)] if count else [])
    server.ask("POST", *writer.call(writer.open))  # what a client does that got no answer
    assert sorted(_steps(server, writer)) == sorted(expected + doubtful), "sent again it is there once"
    return expected + doubtful


def test_what_was_answered_is_there_once_when_the_server_is_killed_under_load(store_url: str, tmp_path: Path) -> None:
    server = Process(store_url, tmp_path / "data")
    chance = random.Random(5)
    with server:
        runs = [server.ask("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"] for _ in range(8)]
    known: list[list[int]] = [[] for _ in runs]
    following = [0] * len(runs)
    for _ in range(3):
        with server:
            writers = [
                Writer(server, run_id, f"m{place}", following[place], place % 2 == 1)
                for place, run_id in enumerate(runs)
            ]
            for writer in writers:
                writer.start()
            while sum(len(writer.answered) for writer in writers) < 100:
                time.sleep(0.005)
            time.sleep(chance.random() / 2)
            server.kill()
            for writer in writers:
                writer.join(30)
        with server:
            for place, writer in enumerate(writers):
                known[place] = _check(server, writer, known[place])
                following[place] = writer.open + 1
    if store_url == "sqlite":
        connection = apsw.Connection(str(tmp_path / "data" / "stile.db"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
