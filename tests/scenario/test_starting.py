"""Starting and stopping the server as an operator does: one line when ready, plain words when not, a clean end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

STILE = Path(sys.executable).parent / "stile"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def up(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(STILE), "up", *options], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def running(tmp_path: Path):
    port = free_port()
    process = subprocess.Popen(
        [str(STILE), "up", "--port", str(port), "--data", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, port, process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()


def test_one_line_says_where_it_answers_when_it_is_ready(running) -> None:
    process, port, line = running
    assert f"is ready at http://127.0.0.1:{port}" in line
    assert httpx.get(f"http://127.0.0.1:{port}/health").text == "OK"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_it_says_so_when_the_folder_or_the_port_is_taken(running, tmp_path: Path) -> None:
    _, port, _ = running
    same_folder = up("--port", str(free_port()), "--data", str(tmp_path / "data"))
    assert same_folder.returncode != 0
    assert "Another Stile server" in same_folder.stderr
    same_port = up("--port", str(port), "--data", str(tmp_path / "other"))
    assert same_port.returncode != 0
    assert "choose another with --port" in same_port.stderr
    assert "Traceback" not in same_folder.stderr + same_port.stderr


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--require-token"]], ids=["open", "closed"])
def test_it_says_what_to_do_first_when_nobody_has_an_account(tmp_path: Path, options: list[str]) -> None:
    """An open door would let anybody in, a closed one nobody, not even to make the first account."""
    refused = up(*options, "--port", str(free_port()), "--data", str(tmp_path / "data"))
    assert refused.returncode != 0
    assert "no operator account yet" in refused.stderr
    assert "stile user add NAME --system-role operator" in refused.stderr


def test_it_starts_again_when_it_was_killed(running, tmp_path: Path) -> None:
    process, port, _ = running
    httpx.post(f"http://127.0.0.1:{port}/api/v1/people", json={"name": "ada"}).raise_for_status()
    process.kill()
    process.wait()
    again = subprocess.Popen(
        [str(STILE), "up", "--port", str(port), "--data", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert again.stdout is not None
        assert "is ready" in again.stdout.readline()
        people = httpx.get(f"http://127.0.0.1:{port}/api/v1/people").json()["people"]
        assert [person["name"] for person in people] == ["ada"]
    finally:
        again.terminate()
        again.wait(20)
        again.stdout.close()
