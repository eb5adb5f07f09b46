"""A disk that is full or may not be written: a clear answer, nothing acknowledged is lost, and it goes on after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw
import httpx
import pytest

from stile.kernel.errors import StileError, StorageFull, Unavailable
from stile.store.database import Tx
from stile.store.sqlite import SqliteDatabase
from stile.testing.power import watched_syncs
from stile.testing.server import RunningServer, running_server

_MLFLOW = "/api/2.0/mlflow/"


def _note(tx: Tx, name: str) -> None:
    tx.run("INSERT INTO run_keys (name) VALUES (?)", (name,))


def _names(tx: Tx) -> set[str]:
    return {row[0] for row in tx.all("SELECT name FROM run_keys")}


@pytest.mark.parametrize(
    ("refusal", "error", "said"),
    [
        (apsw.FullError, StorageFull, "disk is full, so nothing was stored. Free some space"),
        (apsw.IOError, Unavailable, "cannot be written right now .* Check the disk"),
        (apsw.ReadOnlyError, Unavailable, "cannot be written right now .* Check the disk and its permissions"),
    ],
)
@pytest.mark.parametrize("relaxed", [False, True])
def test_writes_fail_in_words_and_work_again_when_the_disk_does(
    tmp_path: Path, refusal: type[apsw.Error], error: type[StileError], said: str, relaxed: bool
) -> None:
    """Every write of a group is told; reads go on; what was acknowledged before and after is there."""
    with watched_syncs(tmp_path / "disk") as disk:
        db = SqliteDatabase(tmp_path / "stile.db")
        expected = set()
        for turn in range(3):
            for number in range(5):
                db.write(partial(_note, name=f"{turn}-{number}"), relaxed=relaxed)
                expected.add(f"{turn}-{number}")
            disk.refuses = refusal
            for number in range(5):
                with pytest.raises(error, match=said):
                    db.write(partial(_note, name=f"refused-{turn}-{number}"), relaxed=relaxed)
                assert db.read(_names) == expected
            disk.refuses = None
        db.write(partial(_note, name="last"))
        db.close()
    again = SqliteDatabase(tmp_path / "stile.db")
    assert again.read(_names) == {*expected, "last"}
    assert again.read(lambda tx: tx.all("PRAGMA integrity_check")) == [("ok",)]
    again.close()


def test_a_store_at_its_largest_size_says_so(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "stile.db")
    pages = db.read(lambda tx: tx.scalar("PRAGMA page_count"))
    db.write(lambda tx: tx.scalar(f"PRAGMA max_page_count = {pages + 3}"))
    with pytest.raises(StorageFull):
        db.write(lambda tx: tx.run("INSERT INTO run_keys (name) VALUES (?)", ("x" * 100_000,)))
    assert db.read(_names) == set()
    db.write(lambda tx: tx.scalar("PRAGMA max_page_count = 4294967294"))
    db.write(partial(_note, name="fits"))
    assert db.read(_names) == {"fits"}
    db.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            f"!!! no small file system could be mounted, so a FULL DISK IS NOT TESTED: {mounted.stderr.strip()}"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _points(client: httpx.Client, run_id: str, first: int) -> httpx.Response:
    metrics = [{"key": "a", "value": 0.5, "timestamp": 1, "step": first + step} for step in range(500)]
    return client.post(f"{_MLFLOW}runs/log-batch", json={"run_id": run_id, "metrics": metrics})


def _stored(client: httpx.Client, run_id: str) -> int:
    answer = client.get(f"{_MLFLOW}metrics/get-history", params={"run_id": run_id, "metric_key": "a"})
    return answer.text.count('"step"')


def _artifact(client: httpx.Client, run_id: str, content: bytes) -> httpx.Response:
    return client.put(f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/f.bin", content=content)


def test_a_server_on_a_full_disk_answers_507_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """Rows and files: what was acknowledged stays, pages are served, nothing has to be started again."""
    with running_server(small_disk / "data") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        made = client.post(f"{_MLFLOW}runs/create", json={"experiment_id": "0"})
        run_id = made.json()["run"]["info"]["run_id"]
        assert _artifact(client, run_id, b"before").status_code == 200
        left = os.statvfs(small_disk)
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * (left.f_bavail * left.f_frsize - 1_000_000))
        acknowledged = 0
        while (answer := _points(client, run_id, acknowledged)).status_code == 200:
            acknowledged += 500
            assert acknowledged < 200_000, "the disk never filled"
        _check_refused(server, client, answer)
        refused = _artifact(client, run_id, b"y" * 3_000_000)
        assert refused.status_code == 507
        assert "Free some space" in refused.json()["message"]
        assert _stored(client, run_id) == acknowledged
        assert client.get("/").status_code == 200
        assert client.get(f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/f.bin").content == b"before"
        filler.unlink()
        assert _points(client, run_id, 10**6).status_code == 200
        assert _stored(client, run_id) == acknowledged + 500
        assert _artifact(client, run_id, b"y" * 3_000_000).status_code == 200


def _check_refused(server: RunningServer, client: httpx.Client, answer: httpx.Response) -> None:
    assert answer.status_code == 507
    assert answer.json()["error_code"] == "RESOURCE_EXHAUSTED"
    assert "Free some space" in answer.json()["message"]
    own = client.post("/api/v1/use-cases", json={"name": "late"})
    assert own.status_code == 507
    assert own.json()["error"]["code"] == "storage_full"
    assert client.get("/api/v1/use-cases/late").status_code == 404, "half a use case was stored"


def test_a_folder_that_may_not_be_written_is_one_line_at_the_start(small_disk: Path) -> None:
    data = small_disk / "data"
    data.mkdir()
    SqliteDatabase(data / "stile.db").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (data, small_disk / "new"):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("stile")), "up", "--data", str(folder), "--port", "7999"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr.strip().count("\n") == 0
        assert "cannot be used (Read-only file system). Choose another with --data" in done.stderr
