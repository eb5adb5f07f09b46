"""The durable engine: what was begun survives kill -9, what was started early is kept, and it stops cleanly."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stile.kernel.errors import Invalid, Unavailable
from stile.store.sqlite import SqliteDatabase
from stile.work.dbos_engine import DbosBackground

PROGRAM = Path(__file__).with_name("dbos_program.py")


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_a_workflow_resumes_at_the_first_step_without_a_result_when_its_process_was_killed(tmp_path, store_url):
    """On SQLite the next process finds its own work; on PostgreSQL another server takes it over."""
    log = tmp_path / "log"
    begun = subprocess.Popen(
        [sys.executable, PROGRAM, tmp_path, "begin", store_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        wait_for(lambda: log.exists() and log.read_text().split() == ["0", "1", "2"])
    finally:
        begun.kill()
    said, complained = begun.communicate()
    assert (said, complained) == (b"", b"")
    resumed = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, "resume", store_url], capture_output=True, timeout=120, check=True
    )
    assert resumed.stdout == b"done {'total': 10}\n"
    assert resumed.stderr == b""
    assert log.read_text().split() == ["0", "1", "2", "2", "3", "4"]


@pytest.mark.slow
def test_work_is_kept_run_and_interrupted_cleanly_when_the_engine_comes_up_and_goes(tmp_path, capfd):
    db = SqliteDatabase(tmp_path / "stile.db")
    background = DbosBackground(db, tmp_path)
    blocked, go_on, ticks = threading.Event(), threading.Event(), []

    def slow(steps, arguments):
        steps.step("first", lambda: blocked.set())
        steps.step("wait", lambda: go_on.wait(30))
        return steps.step("never", lambda: "reached the end")

    def broken(steps, arguments):
        raise Invalid("the table is empty")

    background.register("echo", lambda steps, arguments: steps.step("echo", lambda: arguments))
    background.register("slow", slow)
    background.register("broken", broken)
    background.every("beat", 0.05, lambda: ticks.append(1))
    with pytest.raises(Invalid, match="no workflow 'nothing'"):
        background.start("nothing", {}, key="x")
    background.start("echo", {"n": 1}, key="early")
    assert background.status("early").state == "waiting"
    background.launch()
    background.ready(60)
    early = background.wait("early", 30)
    assert (early.state, early.result) == ("done", {"n": 1})
    background.start("broken", {}, key="bad")
    bad = background.wait("bad", 30)
    assert bad.state == "failed" and "the table is empty" in bad.error
    assert background.status("never-started").state == "unknown"
    wait_for(lambda: len(ticks) >= 2)
    background.start("slow", {}, key="cut")
    assert blocked.wait(30)
    threading.Timer(0.3, go_on.set).start()
    background.stop()
    beats = len(ticks)
    with pytest.raises(Unavailable):
        background.ready(0)
    time.sleep(0.15)
    assert len(ticks) == beats
    again = DbosBackground(db, tmp_path)
    again.register("slow", slow)
    again.launch()
    again.ready(60)
    cut = again.wait("cut", 30)
    again.stop()
    db.close()
    assert (cut.state, cut.result) == ("done", "reached the end")
    assert capfd.readouterr() == ("", "")
