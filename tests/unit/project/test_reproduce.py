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
from stile.client import Client, tracking
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
        tracking.Run(client.session, tracking.reopen_run(client.session, elsewhere)).log_metric("loss", 1.0)
        record(client.session, [elsewhere], folder, ["python", "-c", "pass"], use_case="toy", datasets={})
    assert run_command(stile, ["reproduce", bare, "--url", server.url]) == 1
    assert "without its commit and command" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    assert run_command(stile, ["reproduce", run_id, "--repo", str(tmp_path / "other"), "--url", server.url]) == 1
    assert "is not in" in capsys.readouterr().err
    assert run_command(stile, ["reproduce", elsewhere, "--repo", str(folder), "--here", "--url", server.url]) == 1
    assert "logged nothing to the throw-away server" in " ".join(capsys.readouterr().err.split())


def test_it_is_said_why_a_run_is_not_done_again(
    recorded: tuple[str, Path], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, folder = recorded

    def said(*arguments: str) -> str:
        assert run_command(stile, ["reproduce", *arguments, "--here", "--url", server.url]) == 1
        return " ".join("".join(capsys.readouterr()).split())

    with Client(server.url) as client:
        commands = {
            "was made in a notebook": ["python", "-m", "ipykernel_launcher", "-f", "kernel.json"],
            "was typed in or came from standard input": ["python", "-"],
            "logged no metrics": ["python", "train.py"],
        }
        for says, command in commands.items():
            with client.start_run("toy") as run:
                record(client.session, [run.run_id], folder, command, use_case="toy", datasets={})
            assert says in said(run.run_id)
        with client.start_run("toy") as run:
            run.log_metric("loss", 1.0)
            (folder / "needed.py").write_text("")
            record(client.session, [run.run_id], folder, ["python", "needed.py"], use_case="toy", datasets={})
        failed = said(run.run_id, "--repo", str(folder))
        assert "needed.py failed (exit code 2)" in failed
        assert "there was 1 file that git did not know" in failed
        held = tracking.Run(client.session, client.session.get("/api/2.0/mlflow/runs/get", run_id=run_id))
        held.log_text("something else", "code/changes.patch")
        assert "were changed after they were recorded" in said(run_id, "--repo", str(folder))
        client.session.call("DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{held._location()}/code/changes.patch")
        assert "(code/changes.patch) are gone" in said(run_id, "--repo", str(folder))
    assert "is no git checkout" in said(run.run_id, "--repo", str(tmp_path))


def test_a_command_is_given_to_a_run_of_another_client(
    recorded: tuple[str, Path], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = recorded
    (folder / "other.py").write_text(
        "from stile.client import Client\nrun = Client().start_run('x', 'theirs')\nrun.log_metric('loss', 1.0)\n"
    )
    git(folder, "add", "other.py")
    git(folder, "commit", "-qm", "other")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True).stdout
    with Client(server.url) as client:
        theirs = client.start_run("toy", "theirs", {"mlflow.source.git.commit": commit.strip()})
        theirs.log_metrics({"loss": 1.0})
    given = ["reproduce", theirs.run_id, "--repo", str(folder), "--url", server.url, "--json"]
    assert run_command(stile, given) == 1
    assert "--command gives a command to a run of another client" in " ".join(capsys.readouterr().err.split())
    assert run_command(stile, [*given, "--command", "python toy/other.py"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(one["key"], one["verdict"]) for one in report["metrics"]] == [("loss", "identical")]
    assert report["remarks"] == [
        "the recorded run is RUNNING, so it may have stopped before its end",
        "no packages were recorded; the present ones were used",
    ]


STARTED = """
import multiprocessing, os, sys
from stile.client import Client

def work(name):
    with Client().run("started", name, system_every_s=0, environment=False) as run:
        run.log({"loss": 1.0})

if __name__ == "__main__":
    os.mkdir("outputs")
    os.chdir("outputs")
    work("main")
    child = multiprocessing.get_context("spawn").Process(target=work, args=("worker",))
    child.start()
    child.join()
"""


@pytest.mark.parametrize("absolute", [False, True])
def test_the_command_is_recorded_as_another_checkout_can_run_it(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    """However it was named, in whatever folder the program went on, and in its workers."""
    folder = tmp_path / "repo" / "deep"
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(STARTED)
    git(folder.parent, "init", "-q", "-b", "main")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-qm", "first")
    monkeypatch.setenv("STILE_URL", server.url)
    script = str(folder / "train.py") if absolute else "deep/train.py"
    subprocess.run([sys.executable, script, "--lr", "1"], cwd=folder.parent, check=True)
    with Client(server.url) as client:
        runs = client.session.post("/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})["runs"]
    found = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    assert sorted(tags["mlflow.runName"] for tags in found) == ["main", "worker"]
    for tags in found:
        words = json.loads(tags["stile.command"])
        assert (words[0], words[2:]) == ("python", ["--lr", "1"])
        assert (folder.parent / tags["stile.folder"] / words[1]).resolve() == (folder / "train.py").resolve()
        assert not Path(words[1]).is_absolute()


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
