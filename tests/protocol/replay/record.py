"""Hold every scene with a genuine MLflow server and keep its answers in ``genuine/``.

    python tests/protocol/replay/record.py PATH/TO/mlflow [SCENE ...]

The argument is the ``mlflow`` command of an environment with the full package, in the version of the client.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parent))

import client_scenes  # noqa: F401  its scenes register themselves
import trace_scenes  # noqa: F401
from conversation import Conversation
from scenes import SCENES

# As in tests/protocol/conftest.py: the client then asks the same questions.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

GENUINE = Path(__file__).parent / "genuine"


@contextmanager
def genuine_server(command: str) -> Iterator[str]:
    """A genuine server on a free port, on SQLite, in a folder of its own."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
        server = subprocess.Popen([command, "server", "--port", str(port), "--workers", "1", *store], cwd=folder)
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    requests.get(url + "/health", timeout=1).raise_for_status()
                    break
                except requests.RequestException:
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def main(command: str, chosen: list[str]) -> None:
    GENUINE.mkdir(exist_ok=True)
    with genuine_server(command) as url:
        for name, hold in SCENES.items():
            if chosen and name not in chosen:
                continue
            talk = Conversation(url)
            hold(talk)
            lines = ",\n".join(json.dumps(exchange, ensure_ascii=False) for exchange in talk.exchanges)
            (GENUINE / f"{name}.json").write_text(f"[\n{lines}\n]\n", "utf-8")
            print(f"{name}: {len(talk.exchanges)} exchanges")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
