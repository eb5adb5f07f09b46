"""The tutorial works as written: every shell block runs, in order, in one shell."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-model.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_tutorial_runs_when_typed_in(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 10
    script = "set -eu\n" + "\n".join(blocks) + "\nwait_ok=yes\nkill $(jobs -p)\nwait || true\necho tutorial-complete\n"
    script = script.replace("7070", str(free_port())).replace("7080", str(free_port()))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "STILE_CHECKOUT": str(ROOT),
        "STILE_CREDENTIALS": str(tmp_path / "credentials.toml"),
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    for name in ("STILE_URL", "STILE_TOKEN", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    output = (tmp_path / "output.txt").open("w+")
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        code = shell.wait(timeout=400)
    finally:
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            code = shell.returncode
        output.seek(0)
        said = " ".join(output.read().split())
        output.close()
    assert code == 0, said[-3000:]
    assert "tutorial-complete" in said
    assert "breaks 3 of the promises" in said
    assert "nobody approves their own work" in said
    assert "was changed after it was written" in said
