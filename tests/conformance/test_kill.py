"""kill -9 in the middle of writing: what was acknowledged is there, once, and nothing is torn."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from stile.store import ledger
from stile.store.sqlite import SqliteDatabase

WRITER = """
import sys, threading
from pathlib import Path
from stile.store import ledger
from stile.store.sqlite import SqliteDatabase

db = SqliteDatabase(Path(sys.argv[1]))
lock = threading.Lock()

def append(tx, subject):
    return ledger.append(tx, kind="k", use_case="u", subject=subject, body={})

def work(name):
    n = 0
    while True:
        subject = f"{name}-{n}"
        db.write(lambda tx: [append(tx, f"{subject}-{i}") for i in range(3)])
        with lock:
            sys.stdout.write(subject + "\\n")
            sys.stdout.flush()
        n += 1

for name in range(8):
    threading.Thread(target=work, args=(name,), daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("seconds", [0.4, 0.9])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "stile.db"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    acknowledged = {first, *(line.strip() for line in process.stdout if line.endswith("\n"))}
    process.wait()
    process.stdout.close()

    db = SqliteDatabase(path)
    try:
        assert db.read(ledger.verify) == []
        stored = [entry.subject for entry in db.read(lambda tx: list(ledger.walk(tx)))]
    finally:
        db.close()
    assert len(acknowledged) > 10
    assert len(stored) == len(set(stored))
    groups: dict[str, int] = {}
    for subject in stored:
        head = subject.rpartition("-")[0]
        groups[head] = groups.get(head, 0) + 1
    assert set(groups.values()) == {3}, "a write was torn"
    assert acknowledged <= set(groups), "an acknowledged write was lost"
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
