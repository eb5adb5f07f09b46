"""The room made in SQLite's write-ahead log: it is there, it is only room, and doing without is no failure."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from stile.store.database import Tx
from stile.store.sqlite import SqliteDatabase
from stile.store.sqlite_log import ROOM


def _note(tx: Tx, name: str) -> None:
    tx.run("INSERT INTO run_keys (name) VALUES (?)", (name,))


def _names(tx: Tx) -> set[str]:
    return {row[0] for row in tx.all("SELECT name FROM run_keys")}


def _log(folder: Path) -> Path:
    return folder / "stile.db-wal"


def test_commits_do_not_make_the_log_longer(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "stile.db")
    assert _log(tmp_path).stat().st_size == ROOM
    for number in range(300):  # more than once through a checkpoint
        db.write(partial(_note, name=f"{number}-" + "x" * 20_000))
    assert _log(tmp_path).stat().st_size == ROOM
    db.close()


def test_what_a_killed_server_left_is_found_before_the_zeros(tmp_path: Path) -> None:
    """The files as they are in mid-flight, opened elsewhere, and opened once more after that."""
    db = SqliteDatabase(tmp_path / "stile.db")
    for number in range(20):
        db.write(partial(_note, name=f"run-{number}"))
    left = tmp_path / "left"
    left.mkdir()
    for file in ("stile.db", "stile.db-wal"):
        shutil.copy(tmp_path / file, left / file)
    db.close()
    for _ in range(2):
        again = SqliteDatabase(left / "stile.db")
        assert again.read(_names) >= {f"run-{number}" for number in range(20)}
        again.write(partial(_note, name="more"))
        assert _log(left).stat().st_size == ROOM
        assert again.read(lambda tx: tx.all("PRAGMA integrity_check")) == [("ok",)]
        again.write(lambda tx: tx.run("DELETE FROM run_keys WHERE name = 'more'"))
        again.close()


@pytest.mark.parametrize("after", [0, 2])
def test_a_disk_without_room_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Whether the disk is full at once or after two pieces, nothing is kept of the attempt and the store works."""
    real, calls = os.pwrite, 0

    def full(file: int, content: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, content, offset)

    monkeypatch.setattr(os, "pwrite", full)
    db = SqliteDatabase(tmp_path / "stile.db")
    assert calls == after + 1
    assert _log(tmp_path).stat().st_size < ROOM
    db.write(partial(_note, name="fits"))
    assert db.read(_names) == {"fits"}
    db.close()
