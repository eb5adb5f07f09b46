"""kill -9 in the middle of writing, and a database that goes away: what was acknowledged is there, once, untorn."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from stile.kernel.errors import Unavailable
from stile.store import ledger
from stile.store.database import Database, Tx
from stile.testing.postgres import Cluster
from stile.train import runs
from stile.train.points import Point

WRITER = """
import sys, threading
from pathlib import Path
from stile.store import ledger
from stile.store.engines import open_database

db = open_database(sys.argv[1], Path(sys.argv[2]))
lock = threading.Lock()

relaxed = len(sys.argv) > 4

def append(tx, subject):
    if relaxed:
        tx.run("INSERT INTO run_keys (name) VALUES (?)", (subject,))
    else:
        ledger.append(tx, kind="k", use_case="u", subject=subject, body={})

def work(name):
    n = 0
    while True:
        subject = f"{name}-{n}"
        db.write(lambda tx: [append(tx, f"{subject}-{i}") for i in range(3)], relaxed=relaxed)
        with lock:
            sys.stdout.write(subject + "\\n")
            sys.stdout.flush()
        n += 1

for name in sys.argv[3].split(","):
    threading.Thread(target=work, args=(name,), daemon=True).start()
threading.Event().wait()
"""


def _check(db: Database, acknowledged: set[str]) -> None:
    assert db.read(ledger.verify) == []
    stored = [entry.subject for entry in db.read(lambda tx: list(ledger.walk(tx)))]
    _check_groups(stored, acknowledged)


def _check_groups(stored: list[str], acknowledged: set[str]) -> None:
    assert len(acknowledged) > 10
    assert len(stored) == len(set(stored)), "a write was stored twice"
    groups: dict[str, int] = {}
    for subject in stored:
        head = subject.rpartition("-")[0]
        groups[head] = groups.get(head, 0) + 1
    assert set(groups.values()) == {3}, "a write was torn"
    assert acknowledged <= set(groups), "an acknowledged write was lost"


def _writers(store_url: str, folder: Path, names: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, store_url, str(folder), names, *more], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("seconds", [0.4, 0.9])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    tmp_path: Path, store_url: str, open_db: Callable[[], Database], seconds: float, durability: str
) -> None:
    process = _writers(store_url, tmp_path, "0,1,2,3,4,5,6,7", *(["relaxed"] if durability == "relaxed" else []))
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    acknowledged = {first, *(line.strip() for line in process.stdout if line.endswith("\n"))}
    process.wait()
    process.stdout.close()
    if durability == "full":
        _check(open_db(), acknowledged)
    else:
        stored = open_db().read(lambda tx: tx.all("SELECT name FROM run_keys"))
        _check_groups([row[0] for row in stored], acknowledged)
    if store_url == "sqlite":
        connection = apsw.Connection(str(tmp_path / "stile.db"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_others_go_on_when_one_of_two_processes_is_killed(
    tmp_path: Path, store_url: str, open_db: Callable[[], Database]
) -> None:
    """The write lock of the killed one does not stay behind."""
    killed, living = (_writers(store_url, tmp_path, names) for names in ("a,b,c,d", "e,f,g,h"))
    assert killed.stdout is not None
    assert living.stdout is not None
    acknowledged = {killed.stdout.readline().strip(), living.stdout.readline().strip()}
    time.sleep(0.4)
    killed.kill()
    time.sleep(0.4)
    at_kill = open_db().read(lambda tx: ledger.root(tx)[0])
    time.sleep(0.3)
    assert open_db().read(lambda tx: ledger.root(tx)[0]) > at_kill
    living.kill()
    for process in (killed, living):
        assert process.stdout is not None
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
        process.wait()
        process.stdout.close()
    _check(open_db(), acknowledged)


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_nothing_is_lost_or_doubled_when_postgresql_crashes_under_load(
    cluster: Cluster, open_db: Callable[[], Database]
) -> None:
    """Eight writers over three crashes: entries and points wait, are settled and go on within five seconds."""
    db = open_db()
    run_id = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ada").info.run_id)
    acknowledged: list[str] = []
    unknown: list[str] = []
    told: list[float] = []
    stopping = threading.Event()

    def append(tx: Tx, subject: str) -> None:
        writer, _, step = subject.partition("-")
        runs.log_metric(tx, run_id, f"writer-{writer}", Point(int(step), int(step), 0.5))
        for part in range(3):
            ledger.append(tx, kind="k", use_case="u", subject=f"{subject}-{part}", body={})

    def work(name: int) -> None:
        number = 0
        while not stopping.is_set():
            subject = f"{name}-{number}"
            number += 1
            try:
                db.write(lambda tx, subject=subject: append(tx, subject))
                acknowledged.append(subject)
                told.append(time.monotonic())
            except Unavailable:
                unknown.append(subject)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    recovered: list[float] = []
    for _ in range(3):
        time.sleep(0.3)
        cluster.restart()
        back = time.monotonic()
        db.read(ledger.root)
        while not told or told[-1] < back:
            time.sleep(0.01)
        recovered.append(told[-1] - back)
    stopping.set()
    for thread in threads:
        thread.join()
    _check(db, set(acknowledged))
    logged = db.read(lambda tx: {n: [p.step for p in runs.history(tx, run_id, f"writer-{n}")] for n in range(8)})
    assert sorted(f"{writer}-{step}" for writer, steps in logged.items() for step in steps) == sorted(acknowledged)
    assert db.read(lambda tx: tx.scalar("SELECT SUM(count) FROM points")) == len(acknowledged), "stored twice"
    assert max(recovered) < 5
    assert not unknown, "PostgreSQL came back in time: nothing had to stay unknown"
