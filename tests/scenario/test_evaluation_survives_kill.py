"""kill -9 in the middle of an evaluation: the next server finishes it, once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from stile.data.table import table_of, to_csv
from stile.govern import registry
from stile.store.sqlite import SqliteDatabase
from stile.train import artifacts

CASE = "early-detection"
U = f"/api/v1/use-cases/{CASE}"
SERVER = """
import sys
from stile.app import serve
from stile.kernel.settings import Settings
sys.exit(serve(Settings(port=int(sys.argv[1]), data_dir=sys.argv[2])))
"""


def start(folder: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(folder)], stdout=subprocess.DEVNULL)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    deadline = time.monotonic() + 30
    while True:
        try:
            client.get("/health")
            return process, client
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)


def follow(client: httpx.Client, id: str, until: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/api/v1/evaluations/{id}").json()
        if until(found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the evaluation stands still: {found}")


def make_version(folder: Path) -> None:
    db = SqliteDatabase(folder / "stile.db")

    def make(tx: Any) -> None:
        artifacts.bind(tx, path="0/r/artifacts/m/MLmodel", digest="sha256:" + "5" * 64, size=7, by="ana")
        registry.create_model(tx, name=CASE, by="ana")
        registry.create_version(tx, name=CASE, source="mlflow-artifacts:/0/r/artifacts/m", by="ana")

    db.write(make)
    db.close()


@pytest.mark.slow
def test_evaluation_is_finished_once_when_the_server_was_killed_in_its_middle(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 20_000  # enough work to be caught in the middle of
    y = rng.random(n) < 0.4
    table = table_of({"x": rng.normal(size=n).round(6), "site": rng.choice(["a", "b"], n), "target": y})
    score = np.clip(0.3 * y + 0.7 * rng.random(n), 0, 1).round(5)
    make_version(tmp_path)
    process, client = start(tmp_path)
    try:
        client.post("/api/v1/use-cases", json={"name": CASE})
        blob = client.put("/api/v1/blobs", content=to_csv(table)).json()["digest"]
        made = client.post(U + "/datasets", json={"name": "t", "role": "test", "table": blob})
        assert made.status_code == 201, made.text
        answers = to_csv(table_of({"row": np.arange(n), "y_true": y, "score": score}))
        blob = client.put("/api/v1/blobs", content=answers).json()["digest"]
        order = {"version": 1, "predictions": blob, "test": made.json()["digest"], "slices": ["site"]}
        id = client.post(U + "/evaluations", json=order).json()["evaluation"]
        seen = follow(client, id, lambda one: one["progress"] >= 0.1 or one["state"] in ("done", "failed"))
        assert seen["state"] == "running", seen
        process.send_signal(signal.SIGKILL)
        process.wait()
        client.close()
        process, client = start(tmp_path)
        done = follow(client, id, lambda one: one["state"] in ("done", "failed"))
        assert done["state"] == "done", done
        assert [one["digest"] for one in client.get(U + "/evidence").json()["evidence"]] == [done["evidence"]]
        assert client.get(f"/api/v1/evidence/{done['evidence']}").json()["metrics"]["auc"]["n"] == n
    finally:
        client.close()
        process.terminate()
        process.wait(20)
