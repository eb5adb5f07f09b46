"""Doing a recorded run again: the same code, data and command give the same numbers, and others are told."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.project.recording import record
from stile.project.sameness import compare
from stile.testing.server import RunningServer

TRAIN = """
import pathlib, random
from stile.client import Client
rows = pathlib.Path(".stile/tables/train.csv").read_text().splitlines()
with Client() as client, client.start_run("toy", "forest") as run:
    random.seed({seed})
    run.log_batch([("loss", len(rows) + random.random(), step) for step in range(5)])
    run.log_metrics({{"rows": len(rows), "noise": random.SystemRandom().random(), "close": 1.0 + {close}}})
    pathlib.Path("run-id").write_text(run.run_id)
"""


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def recorded(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A run that was made in a checkout with uncommitted changes, and the checkout, which has moved on since."""
    folder = tmp_path / "repo" / "toy"
    tables = folder / ".stile" / "tables"
    tables.mkdir(parents=True)
    git(folder.parent, "init", "-q", "-b", "main")
    (folder.parent / ".gitignore").write_text(".stile\nrun-id\n")
    (folder / "train.py").write_text(TRAIN.format(seed=1, close=0))
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-qm", "first")
    (folder / "train.py").write_text(TRAIN.format(seed=2, close=0))
    monkeypatch.setenv("STILE_URL", server.url)
    with Client(server.url) as client:
        toy = client.create_use_case("toy", title="Toy", problem="p", decision="d")
        kept = toy.register_dataset("train", "train", b"a,b\n1,2\n3,4\n5,6\n")
        from stile.data.table import parse_csv
        from stile.project.prepare import write_with_rows

        write_with_rows(tables / "train.csv", parse_csv(b"a,b\n1,2\n3,4\n5,6\n"))
        subprocess.run([sys.executable, "train.py"], cwd=folder, check=True)
        run_id = (folder / "run-id").read_text()
        record(
            client.session, [run_id], folder, ["python", "train.py"],
            use_case="toy", datasets={"train": kept["digest"]},
        )  # fmt: skip
    (tables / "train.csv").unlink()
    git(folder.parent, "commit", "-qam", "second")
    (folder / "train.py").write_text("raise SystemExit('moved on')\n")
    git(folder.parent, "commit", "-qam", "third")
    return run_id, folder


def test_a_run_is_done_again_from_its_record_when_the_code_has_moved_on(
    recorded: tuple[str, Path], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, folder = recorded
    with Client(server.url) as client:
        before = client.session.post("/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})["runs"]
        code = run_command(stile, ["reproduce", run_id, "--repo", str(folder), "--here", "--url", server.url, "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (1, "")
        report: dict[str, Any] = json.loads(out)
        assert {one["key"]: one["verdict"] for one in report["metrics"]} == {
            "loss": "identical", "rows": "identical", "close": "identical", "noise": "different",
        }  # fmt: skip
        assert report["remarks"] == []
        assert not report["same"]
        assert client.session.post("/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})["runs"] == before


def test_it_is_said_what_is_lacking_when_a_run_cannot_be_done_again(
    recorded: tuple[str, Path], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, folder = recorded
    with Client(server.url) as client:
        bare, elsewhere = (client.start_run("toy").run_id for _ in range(2))
        record(client.session, [elsewhere], folder, ["python", "-c", "pass"], use_case="toy", datasets={})
    assert run_command(stile, ["reproduce", bare, "--url", server.url]) == 1
    assert "without its commit and command" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    assert run_command(stile, ["reproduce", run_id, "--repo", str(tmp_path / "other"), "--url", server.url]) == 1
    assert "is not in" in capsys.readouterr().err
    assert run_command(stile, ["reproduce", elsewhere, "--repo", str(folder), "--here", "--url", server.url]) == 1
    assert "logged nothing to the throw-away server" in " ".join(capsys.readouterr().err.split())


def test_metrics_are_told_apart_by_their_points() -> None:
    first = {
        "same": [(0, 1.0), (1, math.nan)], "close": [(0, 1.0)], "far": [(0, 1.0)], "gone": [(0, 1.0)],
        "longer": [(0, 1.0)], "nan": [(0, math.nan)], "zero": [(0, 0.0)], "earlier": [(0, 1.0), (1, 2.0)],
    }  # fmt: skip
    again = {
        "same": [(0, 1.0), (1, math.nan)], "close": [(0, 1.0 + 1e-9)], "far": [(0, 1.1)],
        "longer": [(0, 1.0), (1, 1.0)], "nan": [(0, 1.0)], "zero": [(0, -0.0)], "earlier": [(0, 1.5), (1, 2.0)],
    }  # fmt: skip
    assert {one.key: one.verdict for one in compare(first, again, 1e-6)} == {
        "same": "identical", "close": "within tolerance", "far": "different", "gone": "missing",
        "longer": "different", "nan": "different", "zero": "identical", "earlier": "different",
    }  # fmt: skip
