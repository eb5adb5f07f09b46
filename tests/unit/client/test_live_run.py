"""Runs that log in the background: nothing waits, nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stile.client import Client, capture
from stile.client.kept import KeptFile, send_kept
from stile.client.system import SystemSampler
from stile.client.waiting import POINTS_PER_CALL
from stile.client.writer import PointWriter
from stile.kernel.errors import Conflict, Invalid, Missing, StileError, Unauthenticated, Unavailable
from stile.testing.server import RunningServer


def history(client: Client, run_id: str, key: str) -> list[tuple[int, float]]:
    answer = client.session.get(
        "/api/2.0/mlflow/metrics/get-history", run_id=run_id, metric_key=key, max_results=25_000
    )
    return sorted((int(point["step"]), float(point["value"])) for point in answer.get("metrics", []))


def run_of(client: Client, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = client.session.get("/api/2.0/mlflow/runs/get", run_id=run_id)["run"]
    return run


def test_every_point_is_stored_when_a_run_ends(server: RunningServer) -> None:
    with Client(server.url) as client:
        with client.run("fast", system_every_s=0, code=False, environment=False) as run:
            for step in range(2 * POINTS_PER_CALL + 7):
                run.log({"loss": 1.0 / (step + 1)})
            run.log({"odd": math.nan, "top": math.inf}, step=5)
            run.log_metric("acc", 0.5, 3)
        points = history(client, run.run_id, "loss")
        assert points == [(step, 1.0 / (step + 1)) for step in range(2 * POINTS_PER_CALL + 7)]
        assert math.isnan(history(client, run.run_id, "odd")[0][1])
        assert history(client, run.run_id, "top") == [(5, sys.float_info.max)]
        assert history(client, run.run_id, "acc") == [(3, 0.5)]
        assert run_of(client, run.run_id)["info"]["status"] == "FINISHED"


@pytest.mark.parametrize(("last", "status"), [("exit(3)", "FINISHED"), ("raise ValueError", "FAILED")])
def test_nothing_is_lost_when_the_program_just_ends(
    server: RunningServer, tmp_path: Path, last: str, status: str
) -> None:
    script = f"""
from stile.client import Client
run = Client({server.url!r}).run("left open", code=False, environment=False, system_every_s=0)
print(run.run_id)
for step in range(3000):
    run.log({{"loss": float(step)}})
{last}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    with Client(server.url) as client:
        assert history(client, done.stdout.strip(), "loss") == [(step, float(step)) for step in range(3000)]
        assert run_of(client, done.stdout.strip())["info"]["status"] == status


def test_no_point_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "stile"), "up", "--port", str(port), "--data", str(tmp_path / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        return process

    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start()
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            with client.run("killed", system_every_s=0, code=False, environment=False) as run:
                for step in range(400):
                    run.log({"loss": float(step), "acc": 1.0})
                    time.sleep(0.001)
                    if step == 200:
                        process.send_signal(signal.SIGKILL)
                        process.wait()
                        if process.stdout is not None:
                            process.stdout.close()
                        process = start()
            assert history(client, run.run_id, "loss") == [(step, float(step)) for step in range(400)]
            assert len(history(client, run.run_id, "acc")) == 400
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Server:
    """Takes pieces as the server would; may be away, slow, or particular about names."""

    def __init__(self) -> None:
        self.points: list[tuple[str, int]] = []
        self.away = threading.Event()
        self.tries = 0

    def __call__(self, series: dict[str, dict[str, list[Any]]]) -> None:
        self.tries += 1
        if self.away.is_set():
            raise Unavailable("away")
        if any(";" in key for key in series):
            raise Invalid("a bad name")
        for key, columns in series.items():
            self.points += [(key, step) for step in columns["step"]]


def test_logging_waits_when_too_much_is_waiting() -> None:
    server = Server()
    server.away.set()
    writer = PointWriter(server, most=100)
    done = threading.Event()

    def log() -> None:
        for step in range(250):
            writer.put("loss", 1.0, step, 1)
        done.set()

    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    assert not done.wait(0.3)
    assert server.points == []
    server.away.clear()
    assert done.wait(10)
    writer.close()
    thread.join()
    assert server.points == [("loss", step) for step in range(250)]


def test_nobody_waits_and_memory_is_bounded_when_the_server_is_away(tmp_path: Path) -> None:
    server = Server()
    server.away.set()
    said: list[str] = []
    kept = KeptFile(tmp_path, "r1")
    writer = PointWriter(server, most=100, kept=kept, told=said.append)
    for step in range(1000):
        writer.put("loss", 1.0, step, 1)
        assert writer._waiting.count <= 100
    assert kept.path.exists()
    server.away.clear()
    assert writer.flush(20)
    writer.close()
    assert sorted(server.points) == [("loss", step) for step in range(1000)]
    assert not kept.path.exists()
    assert ("is kept in" in said[0], said[-1]) == (True, "points are sent again.")


@pytest.mark.parametrize("error", [Unauthenticated("no token"), Missing("no run"), StileError("bug"), ValueError("x")])
def test_points_stay_when_it_is_not_their_fault(tmp_path: Path, error: Exception) -> None:
    server = Server()
    said: list[str] = []
    for gives_in in (False, True):
        barred = threading.Event()
        barred.set()

        def send(part: dict[str, dict[str, list[Any]]], barred: threading.Event = barred) -> None:
            if barred.is_set():
                raise error
            server(part)

        kept = KeptFile(tmp_path, "r1")
        writer = PointWriter(send, kept=kept, told=said.append)
        for step in range(20):
            writer.put("loss", 1.0, step, 1)
        assert not writer.flush(0.3)
        if gives_in:
            barred.clear()
        assert writer.close(5) == (0 if gives_in else 20)
        if not gives_in:
            assert sum(len(part["loss"]["step"]) for part in kept.parts()) == 20
            assert "points wait, because they cannot be sent now" in said[0]
            assert "20 points could not be sent and are kept in" in said[1]
            kept.forget()
    assert server.points == [("loss", step) for step in range(20)]


def test_a_kept_file_is_sent_when_its_last_line_was_cut_off_or_another_is_refused(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        run = client.start_run("left")
        for run_id in ("gone", run.run_id):
            kept = KeptFile(tmp_path, run_id)
            kept.add([{"loss": {"at": [1], "step": [0], "value": [0.5]}}])
            kept.end("KILLED", 1)
            if run_id == "gone":
                kept.close()
        assert send_kept(client.session, tmp_path) == 0, "the lock is held until the run has ended"
        assert "still going on" in capsys.readouterr().err
        kept.close()
        with kept.path.open("ab") as file:
            file.write(b'["points", {"loss"')
        assert send_kept(client.session, tmp_path) == 1
        assert "gone" in capsys.readouterr().err
        assert run_of(client, run.run_id)["info"]["status"] == "KILLED"
        assert [file.name.split(".")[0] for file in tmp_path.glob("*.jsonl")] == ["gone"]


def test_a_point_that_was_interrupted_by_half_leaves_the_others_as_they_were() -> None:
    class Interrupted:
        def __index__(self) -> int:
            raise KeyboardInterrupt

    sent: list[dict[str, dict[str, list[Any]]]] = []
    writer = PointWriter(sent.append)
    for step in range(3):
        writer.put("loss", float(step), step, 10 + step)
        with pytest.raises(KeyboardInterrupt):
            writer.put("loss", 9.0, 9, Interrupted())  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            writer.put("loss", 9.0, 0.5, 10)  # type: ignore[arg-type]
    assert writer.flush(10)
    writer.close()
    joined = {name: [number for part in sent for number in part["loss"][name]] for name in ("step", "at", "value")}
    assert joined == {"step": [0, 1, 2], "at": [10, 11, 12], "value": [0.0, 1.0, 2.0]}


def test_other_metrics_are_stored_when_one_name_is_refused() -> None:
    server = Server()
    writer = PointWriter(server)
    for step in range(10):
        writer.put("good", 1.0, step, 1)
        writer.put("bad;name", 1.0, step, 1)
        writer.put("fine", 1.0, step, 1)
    with pytest.raises(Invalid):
        writer.flush(10)
    writer.close()
    assert sorted(server.points) == sorted((key, step) for key in ("fine", "good") for step in range(10))
    with pytest.raises(Conflict, match="has ended here"):
        writer.put("good", 1.0, 11, 1)


def test_points_are_kept_and_sent_later_when_the_server_stays_away(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        run = client.start_run("left")
        away = Server()
        away.away.set()
        kept = KeptFile(tmp_path / "unsent", run.run_id)
        writer = PointWriter(away, kept=kept)
        for step in range(20):
            writer.put("loss", math.nan if step == 3 else 1.0, step, 1)
        time.sleep(0.3)
        writer.put("loss", 1.0, 20, 1)
        assert writer.close(0.1) == 21
        assert away.tries < 10
        assert "21 points could not be sent and are kept in" in capsys.readouterr().err
        kept.close()
        assert send_kept(client.session, tmp_path / "unsent") == 21
        assert [step for step, _ in history(client, run.run_id, "loss")] == list(range(21))
        assert send_kept(client.session, tmp_path / "unsent") == 0


def test_points_wait_when_the_run_is_deleted_and_are_stored_when_it_is_restored(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        with client.run("deleted", system_every_s=0, code=False, environment=False) as run:
            for step in range(20):
                run.log({"loss": 1.0, "acc": 1.0})
                if step == 5:
                    assert run.flush(10)
                    client.session.post("/api/2.0/mlflow/runs/delete", {"run_id": run.run_id})
            assert not run.flush(0.3)
            assert "It is deleted: restore it first." in capsys.readouterr().err
            client.session.post("/api/2.0/mlflow/runs/restore", {"run_id": run.run_id})
        for key in ("loss", "acc"):
            assert history(client, run.run_id, key) == [(step, 1.0) for step in range(20)]


def test_a_call_is_refused_when_the_run_or_the_columns_are_wrong(server: RunningServer) -> None:
    with Client(server.url) as client:
        run = client.start_run("points")
        good = {"at": [1], "step": [1], "value": [1.0]}
        with pytest.raises(Missing):
            client.session.post("/api/v1/runs/nobody/points", {"series": {"loss": good}})
        for bad in (good | {"step": []}, good | {"at": [2**70]}, good | {"value": ["x"]}):
            with pytest.raises(Invalid):
                client.session.post(f"/api/v1/runs/{run.run_id}/points", {"series": {"loss": bad}})
        with pytest.raises(Invalid):
            client.session.post(f"/api/v1/runs/{run.run_id}/points", {"series": {"../up": good}})


def test_code_machine_and_environment_are_kept_when_a_run_begins(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "project" / "deep"
    work.mkdir(parents=True)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com"]
        done = subprocess.run(["git", *who, *arguments], cwd=work.parent, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    (work / "train.py").write_text("print(1)\n")
    git("add", ".")
    git("commit", "-qm", "first")
    (work / "train.py").write_text("print(2)\n")
    (work / "new.txt").write_text("?")
    monkeypatch.chdir(work)
    with Client(server.url) as client:
        with client.run("described", system_every_s=0.05) as run:
            time.sleep(0.3)
        found = run_of(client, run.run_id)
        tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
        assert tags[capture.COMMIT_TAG] == tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
        assert (tags["mlflow.source.git.branch"], tags[capture.FOLDER_TAG]) == ("main", "deep")
        assert tags["stile.unknown-files"] == "1"
        assert json.loads(tags[capture.COMMAND_TAG])[0] == "python"
        patch = client.session.download(f"/get-artifact?run_uuid={run.run_id}&path={capture.DIFF_PATH}")
        assert b"+print(2)" in patch
        needed = client.session.download(f"/get-artifact?run_uuid={run.run_id}&path={capture.REQUIREMENTS_PATH}")
        assert b"msgspec==" in needed
        if Path("/proc/stat").exists():
            metrics = {metric["key"]: metric["value"] for metric in found["data"]["metrics"]}
            assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
            assert metrics["system/process_memory_usage_megabytes"] > 10
            assert 0 < metrics["system/system_memory_usage_percentage"] < 100


def test_the_machine_is_read_as_the_kernel_shows_it(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "stat").write_text("cpu  100 0 100 800 0 0 0 0 0 0\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\n")
    (tmp_path / "self" / "statm").write_text("9 1000 0 0 0 0 0\n")
    sampler = SystemSampler(tmp_path)
    (tmp_path / "stat").write_text("cpu  130 0 100 870 0 0 0 0 0 0\n")
    found = sampler.sample()
    assert found["system/cpu_utilization_percentage"] == pytest.approx(30.0)
    assert found["system/system_memory_usage_percentage"] == pytest.approx(75.0)
    assert found["system/process_memory_usage_megabytes"] == pytest.approx(os.sysconf("SC_PAGE_SIZE") / 1000)


def test_nothing_heavy_is_imported_when_the_client_is() -> None:
    heavy = ["pandas", "numpy", "httpx", "starlette", "uvicorn", "apsw", "mlflow", "polars", "psutil"]
    code = f"import sys, stile.client, stile.client.live_run; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_training_loop_hands_over_a_hundred_thousand_points_a_second() -> None:
    """The loop's own processor time, whatever else the machine does; sending happens beside it."""
    stored: list[int] = []
    writer = PointWriter(lambda series: stored.append(sum(len(one["at"]) for one in series.values())))
    begun = time.thread_time()
    for step in range(50_000):
        writer.put("loss", 1.0 / (step + 1), step, 1_700_000_000_000 + step)
    took = time.thread_time() - begun
    assert writer.close() == 0
    assert sum(stored) == 50_000
    assert took < 0.5, f"{took / 50_000 * 1e6:.1f} us a point"


@pytest.mark.parametrize("name", ["*", "/etc/*", "../*", "[0-9a-f]*"])
def test_what_other_runs_have_kept_is_not_sent_for_a_strange_name(
    server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with Client(server.url) as client:
        other = KeptFile(tmp_path / ".stile" / "unsent", "0" * 32)
        other.end("FINISHED", 1)
        other.close()
        with pytest.raises(StileError):
            client.resume(name)
        assert not capsys.readouterr().err, "nobody tried to send it"
        assert other.path.exists()
